"""`ramekin export`."""

from ramekin.cli.words import command

__all__ = ["export"]

export = command(
    "export",
    "ExportConfig",
    """Write a model for CTranslate2, which is faster on processors, and prove that it computes the same.

    Example: ramekin export model=runs/ties output=runs/ties-ct2 quantization=int8

    quantization=float32, bfloat16, int8 or int8_bfloat16. Before the folder is put in place, its
    log-probabilities are compared with torch's on inputs of up to 1,101 tokens; a model that differs is not
    kept. A quantised one may lose max_loss=0.25 nats a token on average. Needs pip install 'ramekin[fast]'.
    """,
    module="export_schema",
)
