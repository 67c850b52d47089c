from __future__ import annotations

import gc

from regraft.ir.gc_pause import paused


def young(item: object) -> bool:
    return any(found is item for found in gc.get_objects(generation=0))


def test_what_is_left_is_not_young() -> None:
    with paused():
        left: list[object] = [[]]
        assert not gc.isenabled()
        assert young(left)
    assert gc.isenabled()
    assert not young(left)
    assert gc.is_tracked(left)


def test_what_somebody_froze_stays_frozen() -> None:
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        with paused():
            pass
        assert gc.get_freeze_count() == frozen
    finally:
        gc.unfreeze()
