"""Files of a repository on the Hugging Face hub, or of its copy in the hub's cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, errors, hf_hub_download

from ...errors import CodecError, first_line

_TIMEOUT_S = 10


@dataclass(frozen=True)
class Hub:
    """One revision of a repository: `names` are its files, None where only the cache is asked."""

    repo: str
    revision: str | None
    names: frozenset[str] | None
    unreachable: str | None

    @classmethod
    def connect(cls, repo: str, revision: str | None, local_files_only: bool) -> Hub:
        """Ask the hub once for the files of a revision; without a network, the cache will do.

        Raises: CodecError where the hub has no such repository or revision.
        """
        if local_files_only:
            return cls(repo, revision, None, None)
        try:
            info = HfApi().model_info(repo, revision=revision, timeout=_TIMEOUT_S)
        except errors.GatedRepoError as error:
            raise CodecError(
                f"Cannot open {repo}: the hub gives it only to those who accepted its terms. "
                "Accept them on its page and log in with: hf auth login."
            ) from error
        except errors.RevisionNotFoundError as error:
            raise CodecError(
                f"Cannot open {repo}: the hub has no revision {revision!r} of it."
            ) from error
        except errors.RepositoryNotFoundError as error:
            raise CodecError(
                f"Cannot open {repo}: there is no such folder, and the hub has no such public "
                "repository. Check the spelling, or log in with: hf auth login."
            ) from error
        except Exception as error:
            # The hub's client has raised errors of three HTTP libraries over its versions.
            return cls(repo, revision, None, first_line(error).rstrip("."))
        names = frozenset(file.rfilename for file in info.siblings or ())
        return cls(repo, info.sha, names, None)

    def folder(self, folder: str) -> Callable[[str], Path | None]:
        """Return the function that fetches a file of a folder, None where it has no such file."""
        return lambda name: self._fetch(f"{folder}/{name}" if folder else name)

    def commit_of(self, file: Path) -> str | None:
        """Return the commit that a fetched file is of."""
        parts = file.parts
        return parts[parts.index("snapshots") + 1] if "snapshots" in parts else None

    def not_cached(self) -> CodecError:
        """Return the error where the cache alone was asked and has not all that is needed."""
        revision = "" if self.revision is None else f" of revision {self.revision}"
        if self.unreachable is None:
            return CodecError(
                f"Cannot open {self.repo}: the hub's cache has no complete copy{revision}. "
                "Leave out local_files_only, or give the path of a downloaded copy."
            )
        return CodecError(
            f"Cannot open {self.repo}: there is no such folder, the hub cannot be reached "
            f"({self.unreachable}), and its cache has no complete copy{revision}. Connect, or "
            "give the path of a downloaded copy."
        )

    def _fetch(self, name: str) -> Path | None:
        if self.names is not None and name not in self.names:
            return None
        try:
            return Path(
                hf_hub_download(
                    self.repo,
                    name,
                    revision=self.revision,
                    local_files_only=self.names is None,
                    etag_timeout=_TIMEOUT_S,
                )
            )
        except errors.LocalEntryNotFoundError:
            return None
        except Exception as error:
            told = first_line(error).rstrip(".")
            raise CodecError(
                f"Cannot fetch {name} of {self.repo}: {told}. Try again, or give "
                "the path of a downloaded copy."
            ) from error
