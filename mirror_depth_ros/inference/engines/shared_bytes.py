"""A file without what lies in safetensors files beside it: a model need not ship weights twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from safetensors import safe_open

# Shorter tensors are not worth an entry.
_LEAST_BYTES = 1024


def take_out(data: bytes, root: Path, files: Iterable[str]) -> bytes:
    """Return ``data`` with references in place of the tensors that it holds as they are.

    :param root: the folder that the result will lie in.
    :param files: safetensors files to refer to, below ``root``.
    """
    found = []
    for file in files:
        with safe_open(root / file, 'numpy') as tensors:
            for name in tensors.keys():  # noqa: SIM118 - it is no mapping
                raw = tensors.get_tensor(name).tobytes()
                start = data.find(raw) if len(raw) >= _LEAST_BYTES else -1
                if start >= 0:
                    found.append((start, start + len(raw), file, name))
    kept, references, end = [], [], 0
    for start, stop, file, name in sorted(found):
        if start >= end:  # tensors of the same values are found at the same place
            kept.append(data[end:start])
            references.append((start - end, file, name))
            end = stop
    kept.append(data[end:])
    head = {'sha256': hashlib.sha256(data).hexdigest(), 'references': references}
    return json.dumps(head).encode() + b'\n' + b''.join(kept)


def put_back(shortened: bytes, root: Path) -> bytes:
    """Return what :func:`take_out` was given.

    :param root: the folder of the safetensors files.
    :raises ValueError: for another file, or other tensors than there were.
    """
    try:
        head, _, rest = shortened.partition(b'\n')
        facts = json.loads(head)
        parts, end = [], 0
        for length, file, name in facts['references']:
            with safe_open(root / file, 'numpy') as tensors:
                parts += [rest[end : end + length], tensors.get_tensor(name).tobytes()]
            end += length
        data = b''.join([*parts, rest[end:]])
        if hashlib.sha256(data).hexdigest() != facts['sha256']:
            raise ValueError('its bytes add up to another sum')
    except Exception as error:  # of JSON, of a missing file, of safetensors' own kind
        raise ValueError(
            f'got a file that does not belong to the tensors in {root} ({error}), expected its '
            'own; write it anew'
        ) from error
    return data
