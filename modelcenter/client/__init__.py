"""The hub from outside: which hub, who asks, and its files; a thin layer over huggingface_hub."""

from modelcenter.client.hub import Hub
from modelcenter.client.locate import locate
from modelcenter.client.logins import endpoint, token
from modelcenter.client.remote import remote_files

__all__ = ["Hub", "endpoint", "locate", "remote_files", "token"]
