"""Options that several subcommands have, each described once.

Like every subcommand's module, this one imports nothing heavy; tests hold the names it lists
against the code that knows them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

#: What estimates depth.
Model = Annotated[str, typer.Option(help='builtin, or the path of a checkpoint.')]

#: Where the CLIP of a model is; None = where its checkpoint says.
ClipWeights = Annotated[
    str | None,
    typer.Option(
        help='Tag or .safetensors file of its CLIP weights, if they moved.', metavar='WHERE'
    ),
]

#: Where PyTorch computes.
Device = Annotated[str, typer.Option(help='auto, cpu, cuda, cuda:1, mps.')]

#: What PyTorch computes in.
Precision = Annotated[str, typer.Option(help='auto, fp32, bf16, fp16 or int8.')]

#: What computes the network.
Backend = Annotated[str, typer.Option(help='auto, torch, onnxruntime or openvino.')]

#: What to write for programs, beside the table for people; None = nothing.
JsonFile = Annotated[
    Path | None,
    typer.Option('--json', help='Also write what was done and measured there.', metavar='FILE'),
]


def parse_size(text: str, option: str, example: str) -> tuple[int, int]:
    """Return the two numbers of pixels of an option, such as 192x256.

    :raises ValueError: naming the option.
    """
    match = re.fullmatch(r'(\d{1,5})x(\d{1,5})', text)
    if match is None or '0' in match.groups():
        raise ValueError(f'got {option} {text}, expected two numbers of pixels such as {example}')
    return int(match[1]), int(match[2])
