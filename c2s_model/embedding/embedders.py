"""What embeds a sequence: ESM-2 from a folder of weights, or fixed numbers that need none."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from c2s_data.errors import ConfigError
from c2s_data.staged import staged_input

_PIECE: Final = 2**24


class Embedder(Protocol):
    """Gives each sequence a vector, always the same one."""

    @property
    def model(self) -> str:
        """Name of the model and what tells its weights from others."""
        ...

    def mean_of(self, sequence: str) -> NDArray[np.float32]:
        """Return the mean embedding over the residues of a sequence, (S,)."""
        ...


@dataclass(frozen=True)
class Trigrams:
    """Counts of residue triplets, folded into a vector by a hash: no weights, no meaning beyond.

    Equal sequences get equal vectors and similar ones similar vectors, which is what a test or a
    trial of the sequence variant needs.

    Parameters
    ----------
    width
        Numbers of the vector.
    """

    width: int = 1280

    @property
    def model(self) -> str:
        """The name of these numbers."""
        return f"trigrams-{self.width}"

    def mean_of(self, sequence: str) -> NDArray[np.float32]:
        """Return signed counts of triplets in hashed places over the root of their number, (S,)."""
        vector = np.zeros(self.width, np.float64)
        padded = f"-{sequence}-"
        for first in range(len(sequence)):
            digest = hashlib.sha256(padded[first : first + 3].encode()).digest()
            place = int.from_bytes(digest[:8], "little") % self.width
            vector[place] += 1.0 if digest[8] & 1 else -1.0
        scaled: NDArray[np.float32] = (vector / np.sqrt(max(1, len(sequence)))).astype(np.float32)
        return scaled


@dataclass(frozen=True)
class Esm:
    """ESM-2 in transformers' layout: a folder with ``config.json``, vocabulary and weights.

    Nothing is downloaded. The last layer's representation is averaged over the residues, without
    the special tokens at both ends (Lin et al. 2023; paper, "Full Train v2 + Seq").

    Parameters
    ----------
    address
        Path or URL of a folder as ``EsmModel.save_pretrained`` and ``EsmTokenizer.save_pretrained``
        write it; of a URL every process that embeds fetches a copy for itself.
    """

    address: str

    @property
    def folder(self) -> Path:
        """The folder on this machine's disk."""
        return _folder_of(self.address)

    @cached_property
    def model(self) -> str:
        """Name of the folder, and the beginning of the sha256 of the weights in it.

        Raises
        ------
        ConfigError
            There is no such folder, or no weights in it.
        """
        files = sorted(self.folder.glob("*.safetensors"))
        if not files:
            raise ConfigError(
                f"{self.folder}: no weights of ESM-2 (model.safetensors); give a folder as "
                "transformers saves it, such as a copy of facebook/esm2_t33_650M_UR50D"
            )
        digest = hashlib.sha256()
        for path in files:
            with path.open("rb") as stream:
                while piece := stream.read(_PIECE):
                    digest.update(piece)
        return f"{self.folder.resolve().name}@{digest.hexdigest()[:16]}"

    def mean_of(self, sequence: str) -> NDArray[np.float32]:
        """Return the mean of the last layer over the residues, (S,).

        Raises
        ------
        ConfigError
            transformers is not installed, or cannot load the folder.
        """
        tokenizer, network = _load_esm(str(self.folder))
        tokens = tokenizer(sequence, return_tensors="pt")
        with torch.inference_mode():
            hidden = network(**tokens).last_hidden_state[0]  # (2 + residues, S)
        if len(hidden) != len(sequence) + 2:
            raise ConfigError(
                f"{self.folder}: {len(sequence)} residues became {len(hidden)} tokens; its "
                "vocabulary is not that of ESM-2"
            )
        mean: NDArray[np.float32] = hidden[1:-1].float().mean(dim=0).numpy()
        return mean


@lru_cache(maxsize=1)
def _folder_of(address: str) -> Path:
    return staged_input(address)


@lru_cache(maxsize=1)
def _load_esm(folder: str) -> tuple[Any, Any]:
    try:
        # An extra of its own: few users embed, and it is large.
        from transformers import EsmModel, EsmTokenizer  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            "ESM-2 needs the package transformers; install this project with its extra [esm]"
        ) from error
    try:
        tokenizer = EsmTokenizer.from_pretrained(folder, local_files_only=True)
        # The pooling layer is no part of the published weights and not used here.
        network: Any = EsmModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, add_pooling_layer=False
        )
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{folder}: not a folder of ESM-2 weights: {error}") from error
    return tokenizer, network.eval()
