"""The players of an ad on a page of their own, for browsers without script."""

from fastapi import APIRouter, Request, Response

from adreel.web.dependencies import IndexDep, ServiceDep, SessionId, StatusesDep
from adreel.web.pages.boards import read_board
from adreel.web.pages.cut_section import read_cut_section
from adreel.web.pages.playlists import make_playlist
from adreel.web.pages.rendering import PageRoute, page

router = APIRouter(prefix="/sessions/{session_id}", include_in_schema=False, route_class=PageRoute)


@router.get("/play")
async def show_players(
    session_id: SessionId, request: Request, service: ServiceDep, statuses: StatusesDep, index: IndexDep
) -> Response:
    """Show the finished ad, and the current clips in their order."""
    board = await read_board(service, statuses, index, session_id, [])
    cut = await read_cut_section(service, board)
    return page(
        request,
        "play.html",
        path=f"/sessions/{session_id}",
        board=board,
        session=board.session,
        finished=next((tab for tab in cut.tabs if not tab.is_stale), None),
        playlist=make_playlist(board, cut),
    )
