"""The folders of the user, for caches and fetched bundles: a variable of bimors names them, or the system does."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from platformdirs import user_cache_path

from bimors_cli.errors import BimorsError

# Names the folder of the caches.
CACHE: Final = "BIMORS_CACHE"


def cache_folder(error: type[BimorsError]) -> Path:
    """Return the folder of the caches: `CACHE`, or the system's. Raises as `user_folder`."""
    return user_folder(CACHE, user_cache_path, error)


def user_folder(variable: str, default: Callable[..., Path], error: type[BimorsError]) -> Path:
    """Return a folder of the user; it may not exist.

    Parameters
    ----------
    variable : str
        The environment variable that names it.
    default : callable
        A function of platformdirs, for a user who did not set the variable.
    error : type
        Class of the error.

    Raises
    ------
    BimorsError
        The folder is below the home folder, which is not known: HOME is not set, and the user has no entry in the
        system's list of users, as in a container that is started with another user id.
    """
    given = os.environ.get(variable)
    try:
        folder = Path(given).expanduser() if given else default("bimors", appauthor=False)
    except (RuntimeError, KeyError):
        folder = Path()
    # Some versions of platformdirs return ~/.cache unchanged, which would be a folder named ~.
    if (given or folder.is_absolute()) and "~" not in folder.parts[:1]:
        return folder
    raise error("the home folder of this user is not known", f"set {variable} to a folder that can be written, or HOME")
