"""The precision that a run computes in, which no machine changes once the run has begun."""

from sdbnn_larq.layers.precision import PRECISIONS, has_bfloat16

NO_BFLOAT16 = "this machine has no bfloat16 arithmetic (a GPU, or a processor with avx512_bf16 or amx_bf16)"


def check_precision(wanted: str) -> None:
    if wanted not in PRECISIONS:
        raise ValueError(f"`precision` must be one of {PRECISIONS}. Received: precision={wanted!r}.")


def available_precision(wanted: str, begun: str | None = None) -> str:
    """The precision in which to train on this machine.

    # Arguments
        wanted: the recipe's field, `"float32"` or `"mixed"`.
        begun: what the run has computed in so far; None at its start.

    # Returns
        `begun` if there is one; otherwise `wanted`, or `"float32"` on a machine that has no bfloat16.

    # Raises
        ValueError: if the run was begun in mixed precision and this machine cannot go on so.
    """
    can_mix = wanted == "float32" or has_bfloat16()
    if begun == "mixed" and not can_mix:
        raise ValueError(
            f"A run that began with precision=mixed must go on with it, and {NO_BFLOAT16}. "
            "Go on where it began, or start anew with precision=float32."
        )
    return begun or (wanted if can_mix else "float32")
