"""The three small tokenizers of the bundle, trained on captions and class names."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from recipe.common import Settings, write_json
from recipe.data import sentences, training_images
from recipe.words import TEMPLATES

CONTEXT = 77
CAPTION_TOKENS = 15


def names(settings: Settings) -> list[str]:
    """All class names and synonyms that CLIP is trained on."""
    known = settings.lexicon
    sets = [*known.rsicd.values(), *known.rsscn7.values(), *known.coarse]
    return sorted({name for words in sets for name in words})


def _corpus(settings: Settings) -> list[str]:
    # Names are repeated so that each of their words becomes one token.
    return sentences(settings) + [template.format(name) for name in names(settings) for template in TEMPLATES] * 2


def _byte_pairs(corpus: Iterable[str], size: int, special: list[str], form: str) -> Tokenizer:
    """Lower-case byte-level BPE: text is split into words first; all strings can be encoded."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        corpus,
        trainers.BpeTrainer(
            vocab_size=size,
            min_frequency=2,
            special_tokens=special,
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    ids = [(token, tokenizer.token_to_id(token)) for token in special]
    tokenizer.post_processor = processors.TemplateProcessing(single=form, special_tokens=ids)
    return tokenizer


def _word_pieces(corpus: Iterable[str], size: int, special: list[str]) -> dict[str, int]:
    """The most frequent words, and single characters for all others.

    The trainer of the library is not deterministic.
    """
    count = Counter(word for text in corpus for word in re.findall(r"[a-z0-9]+|[^a-z0-9 ]", text))
    letters = sorted({letter for word in count for letter in word})
    first = [*special, *letters, *("##" + letter for letter in letters)]
    words = sorted((word for word in count if len(word) > 1), key=lambda word: (-count[word], word))
    return {piece: i for i, piece in enumerate([*first, *words[: size - len(first)]])}


def build(settings: Settings) -> None:
    """Train all three into the work folder, and write the vocabulary of CLIP.

    Only the train split is used, also in the final build, so that trial runs and final runs have the same token ids.
    """
    settings = dataclasses.replace(settings, final=False)
    corpus = _corpus(settings)
    folder = settings.work / "tokenizers"
    clip = _byte_pairs(corpus, 3000, ["<pad>", "<bos>", "<eos>"], "<bos> $A <eos>")
    PreTrainedTokenizerFast(
        tokenizer_object=clip,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        model_max_length=CONTEXT,
    ).save_pretrained(folder / "clip")

    captioner = _byte_pairs(sentences(settings), 2400, ["<pad>", "</s>", "<image>"], "$A </s>")
    PreTrainedTokenizerFast(
        tokenizer_object=captioner,
        pad_token="<pad>",
        eos_token="</s>",
        additional_special_tokens=["<image>"],
        model_max_length=64,
    ).save_pretrained(folder / "captioner")

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = Tokenizer(models.WordPiece(_word_pieces(sentences(settings), 3000, special), unk_token="[UNK]"))
    pieces.normalizer = normalizers.BertNormalizer(lowercase=True)
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pieces.decoder = decoders.WordPiece()
    pieces.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=pieces,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
    ).save_pretrained(folder / "caption_encoder")

    words = Counter(
        word for some in training_images(settings).captions for text in some for word in re.findall(r"[a-z]+", text)
    )
    vocabulary = {word for word, count in words.items() if count >= 3}
    vocabulary |= {word for text in [*names(settings), *TEMPLATES] for word in re.findall(r"[a-z]+", text.lower())}
    write_json(settings.work / "vocabulary.json", sorted(vocabulary))
    settings.log(
        "tokenizers",
        sentences=len(corpus),
        words=len(vocabulary),
        clip=clip.get_vocab_size(),
        captioner=captioner.get_vocab_size(),
        caption_encoder=pieces.get_vocab_size(),
    )


def load(folder: Path) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast.from_pretrained(folder)
