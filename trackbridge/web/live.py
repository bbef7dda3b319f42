"""Tells open pages that runs changed, by server-sent events; the pages then ask for what they show."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from trackbridge.web.catalogue import Catalogue

LOOK_EVERY_S = 1.0
# A proxy, or a laptop that slept, is noticed by what does not arrive.
SIGN_OF_LIFE_S = 15.0


class Live:
    """One stream per open page; nothing is looked at while no page is open."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Ends all streams, which would otherwise keep the server from ending."""
        self._stopping.set()

    async def answer(self, request: Request) -> Response:
        """An endless `text/event-stream` of `changed` events: `{"number": int, "runs": [ids that changed]}`."""
        return StreamingResponse(self._events(), media_type="text/event-stream")

    async def _events(self) -> AsyncIterator[str]:
        known = (await run_in_threadpool(self._catalogue.listing)).stamps
        yield "retry: 2000\n\n"
        silent_s = 0.0
        while not await self._is_stopped_within(LOOK_EVERY_S):
            listing = await run_in_threadpool(self._catalogue.listing)
            changed = _changed(known, listing.stamps)
            known = listing.stamps
            if changed:
                yield f"event: changed\ndata: {json.dumps({'number': listing.number, 'runs': changed})}\n\n"
                silent_s = 0.0
            elif (silent_s := silent_s + LOOK_EVERY_S) >= SIGN_OF_LIFE_S:
                yield ": still here\n\n"
                silent_s = 0.0

    async def _is_stopped_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except asyncio.TimeoutError:
            return False
        return True


def _changed(before: Mapping[str, tuple[int, str]], now: Mapping[str, tuple[int, str]]) -> list[str]:
    if before is now:
        return []
    return sorted(run_id for run_id in {*before, *now} if before.get(run_id) != now.get(run_id))
