"""How many bytes a file grows when nodes give way to the constants that they compute."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from regraft.ir.editor import Editor
from regraft.ir.graph import Constant, Node, Tensor, subgraphs


class Budget:
    """Decides which nodes become constants: the bytes added less the bytes of constants that nobody reads any more
    never exceed `limit`, after whichever decision.

    Args:
        size: the bytes of a value that a node makes.
        grown: bytes that were added before.

    Attributes:
        results: the values to be replaced by constants.
        removed: the nodes that go, consumers before producers.
    """

    def __init__(self, edit: Editor, size: Callable[[Tensor], int], limit: int, grown: int = 0):
        self._edit, self._size, self._limit = edit, size, limit
        self._reads: dict[Tensor, int] = {}
        self.grown = grown
        self.results: list[Tensor] = []
        self.removed: dict[Node, None] = {}

    def fold(self, nodes: Sequence[Node], may_grow: bool = True) -> int:
        """Decide for `nodes`, all together, if they fit; the bytes that would be too many, 0 if they fit.

        Args:
            may_grow: whether these may add more bytes than they take away.
        """
        reads: dict[Tensor, int] = {}
        gone, freed = self._without([node for node in nodes if node not in self.removed], reads)
        results = [t for n in nodes for t in n.outputs if t.name and self._is_read(t, reads)]
        grown = self.grown + sum(map(self._size, results)) - freed
        limit = self._limit if may_grow else min(self._limit, self.grown)
        if grown > limit:
            return grown - limit
        self.grown = grown
        self._reads.update(reads)
        self.results += results
        self.removed.update(gone)
        return 0

    def _without(self, nodes: Sequence[Node], reads: dict[Tensor, int]) -> tuple[dict[Node, None], int]:
        """What goes with `nodes`: nodes, and bytes of constants. `reads` takes how often each value is still read."""
        gone = dict.fromkeys(nodes)
        freed = 0
        stack = list(gone)
        while stack:
            node = stack.pop()
            if node.op == "Constant":
                freed += self._size(node.outputs[0])
            for tensor in node.inputs:
                reads[tensor] = self._count(tensor, reads) - 1
                if self._is_read(tensor, reads):
                    continue
                if isinstance(tensor, Constant):
                    freed += tensor.nbytes
                elif tensor.inputs and self._goes(tensor.inputs[0], gone, reads):
                    gone[tensor.inputs[0]] = None
                    stack.append(tensor.inputs[0])
        return gone, freed

    def _goes(self, node: Node, gone: dict[Node, None], reads: dict[Tensor, int]) -> bool:
        return (
            node not in gone
            and node not in self.removed
            and not any(self._is_read(t, reads) for t in node.outputs if t.name)
            and not subgraphs(node)
        )

    def _is_read(self, tensor: Tensor, reads: dict[Tensor, int]) -> bool:
        return tensor in self._edit.graph_outputs or self._count(tensor, reads) > 0

    def _count(self, tensor: Tensor, reads: dict[Tensor, int]) -> int:
        if tensor in reads:
            return reads[tensor]
        if tensor not in self._reads:
            self._reads[tensor] = sum(1 for _ in self._edit.users(tensor))
        return self._reads[tensor]
