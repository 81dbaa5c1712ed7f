"""What stands between the network and the page: each a middleware of its own, in this order.

A request passes :mod:`bodies` (is it small and shallow?), :mod:`doors` (is there such a thing
here?), :mod:`origins` (does it come from this page?), :mod:`logins` (may it come in?),
:mod:`streams` (how many does its address hold open?) and :mod:`share` (how many wait already?).
What comes back gets :mod:`headers`, the number of its request, and is compressed; the frontend's
files come from memory, see :mod:`assets`.
"""

from __future__ import annotations

from starlette.middleware import Middleware

from tracache.settings import Settings
from tracache.ui.gate.agents import Agents
from tracache.ui.gate.assets import Assets, Pages
from tracache.ui.gate.bodies import Bodies
from tracache.ui.gate.doors import Doors
from tracache.ui.gate.headers import SecureHeaders
from tracache.ui.gate.logins import Logins
from tracache.ui.gate.numbers import Numbers
from tracache.ui.gate.origins import Origins
from tracache.ui.gate.share import FairShare
from tracache.ui.gate.streams import Streams


def gate(settings: Settings) -> list[Middleware]:
    """Return the middlewares of a page, outermost first.

    Parameters
    ----------
    settings : Settings
        Of the process.
    """
    return [
        Middleware(Pages),
        Middleware(Numbers),
        Middleware(SecureHeaders),
        Middleware(Bodies),
        Middleware(Doors, api=settings.api),
        Middleware(Origins, listens=settings.host, allowed=settings.hosts),
        Middleware(Logins, auth=settings.auth, framed=settings.space),
        Middleware(Assets),
        Middleware(Agents),
        Middleware(Streams),
        Middleware(FairShare),
    ]
