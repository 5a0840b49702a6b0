"""``mirror_depth export``: a model as an ONNX file that is known to compute the same."""

from __future__ import annotations

from pathlib import Path

import typer

from mirror_depth_ros.cli.options import ClipWeights, JsonFile, Model, parse_size


def export(
    output: Path = typer.Option(..., '--output', '-o', help='The file.', metavar='FILE.onnx'),
    model: Model = 'builtin',
    clip_weights: ClipWeights = None,
    size: str | None = typer.Option(
        None,
        help='Height and width of its images, such as 192x256, multiples of the patch size; '
        'otherwise those the model was trained at.',
        metavar='HxW',
    ),
    opset: int = typer.Option(18, min=18, help='Version of the operators.'),
    json_file: JsonFile = None,
) -> None:
    """Write a model as ONNX, in fp32, for other runtimes.

    Inputs are `image`, RGB in 0..1, `[batch, 3, H, W]`, and `focal_px`, the focal length in pixels
    at that very size, `[batch]`; the output is `depth`, metres along Z, `[batch, 1, H, W]`, and of
    models with confidence also `log_scale`, of which docs/backends.md makes it. The file is
    computed by ONNX Runtime and compared with PyTorch before it is written.

    For example:

    - `mirror_depth export --output depth.onnx`

    - `mirror_depth export --model mine.safetensors --size 352x480 --output mine.onnx`
    """
    from rich.console import Console

    from mirror_depth_ros.depth.files import write_json

    wanted = None if size is None else parse_size(size, '--size', '192x256')
    if not output.absolute().parent.is_dir():
        raise ValueError(
            f'got output {output} in a folder that does not exist, expected one that does; make it'
        )
    console = Console(stderr=True)
    with console.status('loading the model'):
        from mirror_depth_ros.inference.engines.onnx_file import write_onnx
        from mirror_depth_ros.model.checkpoint import load_checkpoint

        network = load_checkpoint(model, clip_weights=clip_weights)
    with console.status('exporting, and comparing with PyTorch'):
        facts = write_onnx(network, output, size=wanted, opset=opset)
    if json_file is not None:
        write_json(json_file, {'model': model, 'output': str(output), **facts})
    Console().print(
        f'{output}: {facts["bytes"] / 1e6:.1f} MB, relative error against PyTorch at most '
        f'{facts["relative_error"]:.2g}',
        markup=False,
    )
