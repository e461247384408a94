"""A local page that follows a study while it runs; it reads records alone and never imports torch."""

from thalweg.watch.following import follow
from thalweg.watch.server import Watcher

__all__ = ["Watcher", "follow"]
