"""Tables of a factor graph as compiled samplers see them: compressed rows, variable by variable."""

import numpy as np

from calipers.sampling import annealed_kernels as kernels


def compressed_tables(sizes: tuple, scopes: list, rests: list, base: list) -> kernels.Tables:
    """The path in compressed rows, variable by variable."""
    starts = np.cumsum([0, *(t.size for t in rests)])
    rows: list[list[tuple[int, int, list[int], list[int]]]] = [[] for _ in sizes]
    for a, (scope, table) in enumerate(zip(scopes, rests, strict=True)):
        strides = [s // 8 for s in np.ascontiguousarray(table).strides]
        for axis, v in enumerate(scope):
            others = [b for b in range(len(scope)) if b != axis]
            rows[v].append((strides[axis], int(starts[a]), [scope[b] for b in others], [strides[b] for b in others]))
    flat = [item for row in rows for item in row]

    def integers(values: list[int]) -> np.ndarray:
        return np.array(values, np.int64)

    def ends(lengths: list[int]) -> np.ndarray:
        return integers([0, *np.cumsum(lengths).tolist()])

    return kernels.Tables(
        states=integers(list(sizes)),
        base=np.concatenate([np.zeros(0), *base]),
        base_at=ends(list(sizes))[:-1],
        entries=np.concatenate([np.zeros(0), *(t.ravel() for t in rests)]),
        ptr=ends([len(r) for r in rows]),
        own_stride=integers([i[0] for i in flat]),
        start=integers([i[1] for i in flat]),
        other_ptr=ends([len(i[2]) for i in flat]),
        other=integers([v for i in flat for v in i[2]]),
        other_stride=integers([s for i in flat for s in i[3]]),
    )
