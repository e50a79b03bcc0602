"""Judges and prints what tools/benchmarks/training.py measured."""

import limits

MATMUL_BOUND = "matmul_bound"

# By which factor ours must at least be faster than another variant of the same type.
FACTORS = {
    "float32": {"stock": 1.2, "torch": 3.0, MATMUL_BOUND: 0.8},
    "bfloat16": {"stock": 1.8, "stock_no_lrn": 1.0, "torch": 5.0},
}
INFERENCE_FACTORS = {128: 1.2, 1: 1.0}  # by batch size, compared with stock


def judge(results: dict) -> list[limits.Limit]:
    """Every limit, except those that concern a variant that was not timed."""
    judged = []
    for precision, found in results.items():
        for variant, least in FACTORS[precision].items():
            factor = found["ours_by"].get(variant)
            if factor is not None:
                name = f"{precision}: ours / {_title(variant)}"
                judged.append(limits.at_least(name, factor, least))
        for size, least in INFERENCE_FACTORS.items():
            factor = found["inference"][str(size)]["ours_by_stock"]
            name = f"{precision}: inference at batch {size}, ours / stock"
            judged.append(limits.at_least(name, factor, least))
    return judged


def table(results: dict) -> str:
    """Images/s, memory and the factor of ours for every variant."""
    lines = []
    for precision, found in results.items():
        lines.append(
            f"{precision}: matrix product {found['product_gflop_s']:.0f} GFLOP/s, "
            f"copy {found['copy_gb_s']:.1f} GB/s"
        )
        for variant, rate in found["images_per_s"].items():
            factor = found["ours_by"].get(variant)
            memory = f"{found['memory_gib'].get(variant, 0):5.1f} GiB"
            lines.append(_row(variant, rate, memory, factor))
        bound = found[f"{MATMUL_BOUND}_images_per_s"]
        lines.append(
            _row(_title(MATMUL_BOUND), bound, " " * 9, found["ours_by"][MATMUL_BOUND])
        )
        for size, inference in found["inference"].items():
            stock = f"{inference['stock_images_per_s']:.1f}"
            lines.append(
                f"  {f'inference at batch {size}':24}"
                f"{inference['ours_images_per_s']:8.1f} images/s, stock {stock}: "
                f"ours is {inference['ours_by_stock']:.2f} times as fast"
            )
    return "\n".join(lines)


def _row(name: str, rate: float, memory: str, factor: float | None) -> str:
    beside = f"ours is {factor:.2f} times as fast" if factor else ""
    return f"  {name:24}{rate:8.1f} images/s {memory}  {beside}".rstrip()


def _title(variant: str) -> str:
    return "matmul bound" if variant == MATMUL_BOUND else variant
