"""Class names and synonyms, templates, and cleaning of captions."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

# Names of the classes of a data set. The first is the display name, used for measuring; the others are synonyms.
RSICD: dict[str, tuple[str, ...]] = {
    "airport": ("airport", "airfield", "aerodrome", "airplanes", "airport terminal", "aircraft"),
    "bareland": ("bare land", "bareland", "bare soil", "bare ground", "barren land", "wasteland", "bare earth"),
    "baseballfield": ("baseball field", "baseballfield", "baseball diamond", "ball field", "baseball court"),
    "beach": ("beach", "coast", "sandy beach", "shore", "seaside", "coastline"),
    "bridge": ("bridge", "bridge over water", "river crossing", "bridge over a river"),
    "center": ("center", "city center", "civic center", "convention center", "hall", "city hall"),
    "church": ("church", "cathedral", "chapel", "place of worship", "religious building"),
    "commercial": (
        "commercial",
        "commercial area",
        "business district",
        "downtown",
        "shops",
        "commercial district",
        "city centre",
        "commercial buildings",
    ),
    "denseresidential": (
        "dense residential",
        "denseresidential",
        "dense residential area",
        "crowded houses",
        "dense housing",
        "densely built houses",
    ),
    "desert": ("desert", "sand", "sand dunes", "dunes", "sandy desert"),
    "farmland": (
        "farmland",
        "cropland",
        "fields",
        "agricultural land",
        "agriculture",
        "crops",
        "farm",
        "crop fields",
        "arable land",
        "agricultural fields",
        "farmlands",
    ),
    "forest": ("forest", "woodland", "trees", "woods", "dense forest", "tree cover"),
    "industrial": (
        "industrial",
        "industrial area",
        "industry",
        "factory",
        "factories",
        "warehouses",
        "plant",
        "industrial buildings",
        "workshops",
    ),
    "meadow": ("meadow", "grass", "grassland", "lawn", "pasture", "meadows"),
    "mediumresidential": (
        "medium residential",
        "mediumresidential",
        "medium residential area",
        "suburb",
        "suburban houses",
        "houses in rows",
    ),
    "mountain": ("mountain", "mountains", "hills", "mountain ridge", "rocky mountains", "ridge"),
    "park": ("park", "city park", "public garden", "urban park", "garden"),
    "parking": ("parking", "parking lot", "car park", "parked cars", "parking area", "parking space"),
    "playground": (
        "playground",
        "running track",
        "sports field",
        "athletic field",
        "football field",
        "soccer field",
        "track and field",
        "sports ground",
    ),
    "pond": ("pond", "lake", "small lake", "pool of water", "reservoir", "water pond"),
    "port": ("port", "harbor", "harbour", "marina", "dock", "docks", "ships", "boats", "seaport"),
    "railwaystation": (
        "railway station",
        "railwaystation",
        "train station",
        "railway",
        "rail station",
        "train tracks",
        "railroad station",
    ),
    "resort": ("resort", "holiday resort", "hotel", "tourist resort", "villas with pools", "vacation resort"),
    "river": ("river", "stream", "watercourse", "creek", "river bank", "waterway"),
    "school": ("school", "campus", "university", "college", "school buildings"),
    "sparseresidential": (
        "sparse residential",
        "sparseresidential",
        "sparse residential area",
        "scattered houses",
        "sparse housing",
        "isolated house",
        "rural house",
        "farmhouse",
    ),
    "square": ("square", "city square", "plaza", "town square", "public square"),
    "stadium": ("stadium", "arena", "sports stadium", "football stadium"),
    "storagetanks": ("storage tanks", "storagetanks", "oil tanks", "storage tank", "tanks", "fuel tanks", "tank farm"),
    "viaduct": (
        "viaduct",
        "overpass",
        "flyover",
        "interchange",
        "highway interchange",
        "road junction",
        "motorway",
        "elevated road",
    ),
}
RSSCN7: dict[str, tuple[str, ...]] = {
    "field": ("field", "farmland", "cropland", "fields", "agricultural land", "crops", "arable land", "agriculture"),
    "forest": ("forest", "woodland", "trees", "woods", "tree cover"),
    "grass": ("grass", "grassland", "meadow", "pasture", "lawn"),
    "industry": ("industry", "industrial", "industrial area", "factory", "factories", "warehouses", "plant"),
    "parking": ("parking", "parking lot", "car park", "parked cars", "parking area"),
    "resident": (
        "residential area",
        "residential",
        "houses",
        "housing",
        "resident",
        "residential buildings",
        "homes",
        "residential district",
        "settlement",
        "village",
    ),
    "river_lake": ("river or lake", "water", "river", "lake", "river and lake", "water body", "open water"),
}
# Coarse classes, which contain more than one class of a data set. Images of other classes are not used for them.
COARSE: dict[tuple[str, ...], tuple[str, ...]] = {
    ("water", "water body", "open water", "water bodies"): ("pond", "river", "river_lake"),
    ("residential area", "residential", "houses", "housing", "homes", "residential buildings", "settlement"): (
        "denseresidential",
        "mediumresidential",
        "sparseresidential",
        "resident",
    ),
    ("vegetation", "green land", "plants", "greenery"): ("forest", "meadow", "grass"),
    ("farmland", "agriculture", "crops", "agricultural land"): ("farmland", "field"),
    ("industrial area", "industry", "industrial buildings"): ("industrial", "industry", "storagetanks"),
    ("bare soil", "bare land", "desert or bare land", "barren"): ("bareland", "desert"),
    ("urban area", "built-up area", "city", "urban", "buildings", "built up"): (
        "center",
        "commercial",
        "church",
        "school",
        "square",
    ),
    ("transport", "traffic", "road", "roads", "highway"): ("viaduct", "bridge"),
    ("sports", "sports facility", "recreation", "sports area"): ("playground", "stadium", "baseballfield"),
}


@dataclass(frozen=True)
class Lexicon:
    """The classes of a bundle: their names by data set, and the coarse classes."""

    rsicd: dict[str, tuple[str, ...]]
    rsscn7: dict[str, tuple[str, ...]]
    coarse: dict[tuple[str, ...], tuple[str, ...]]


def lexicon(without: Collection[str] = ()) -> Lexicon:
    """All classes without some classes of RSICD, and without those of RSSCN7 that share a name with them."""
    removed = {name for kind in without for name in RSICD[kind]}
    rsicd = {kind: names for kind, names in RSICD.items() if kind not in without}
    rsscn7 = {kind: names for kind, names in RSSCN7.items() if not removed & set(names)}
    known = {*rsicd, *rsscn7}
    coarse = {names: tuple(kind for kind in kinds if kind in known) for names, kinds in COARSE.items()}
    return Lexicon(rsicd, rsscn7, {names: kinds for names, kinds in coarse.items() if kinds})


# The first is the template of the program; it and the second are used in half of the draws.
TEMPLATES = (
    "a photo of a {}.",
    "an aerial photo of a {}.",
    "satellite view of {}",
    "{}",
    "{}.",
    "a satellite image of {}.",
    "an aerial view of {}.",
    "a photo of {}.",
    "this is a {}.",
    "there is a {} in the picture.",
    "a remote sensing image of a {}.",
)
# Stems of words that name a class in a caption, matched from the start of a word.
CAPTION_STEMS: dict[str, tuple[str, ...]] = {
    "airport": ("airport", "plane", "airplane", "runway", "terminal", "aircraft", "airfield"),
    "bareland": ("bare", "barren", "wasteland", "bald", "bareland", "soil"),
    "baseballfield": ("baseball",),
    "beach": ("beach", "coast", "shore", "seaside"),
    "bridge": ("bridge",),
    "center": ("center", "centre", "hall"),
    "church": ("church", "cathedral", "chapel"),
    "commercial": ("commercial", "downtown", "business", "shop", "mall"),
    "denseresidential": ("residential", "houses"),
    "desert": ("desert", "sand", "dune"),
    "farmland": ("farmland", "field", "crop", "farm", "agricultur"),
    "forest": ("forest", "wood"),
    "industrial": ("industr", "factory", "factories", "warehouse", "workshop"),
    "meadow": ("meadow", "grass", "lawn"),
    "mediumresidential": ("residential", "houses", "suburb"),
    "mountain": ("mountain", "hill", "ridge"),
    "park": ("park ", "park.", "park,", "parks", "garden"),
    "parking": ("parking", "car park"),
    "playground": ("playground", "football field", "track", "sports field", "soccer"),
    "pond": ("pond", "lake", "reservoir"),
    "port": ("port ", "port.", "port,", "harbor", "harbour", "boat", "ship", "dock", "marina"),
    "railwaystation": ("railway", "train", "rail", "station"),
    "resort": ("resort", "hotel", "villa"),
    "river": ("river", "stream", "creek"),
    "school": ("school", "campus", "universit", "college", "teaching"),
    "sparseresidential": ("residential", "house", "villa"),
    "square": ("square", "plaza"),
    "stadium": ("stadium", "arena"),
    "storagetanks": ("tank",),
    "viaduct": ("viaduct", "overpass", "flyover", "interchange", "crossroad"),
}


def names_class(caption: str, kind: str) -> bool:
    """Whether a caption names the class, by `CAPTION_STEMS`."""
    text = caption.lower() + " "
    return any(re.search(rf"\b{re.escape(stem)}", text) for stem in CAPTION_STEMS[kind])


def clean(sentence: str) -> str:
    """Normalise a caption: lower case, single spaces and one full stop, as in "a lake is here."."""
    text = re.sub(r"[^a-z0-9,.'\- ]+", " ", sentence.lower().replace("\u2019", "'"))
    text = re.sub(r"\s*([,.])[\s,.]*", r"\1 ", text)
    text = re.sub(r"\s+", " ", text).strip(" ,.-'")
    return text + "." if text else ""


def display_name(kind: str) -> str:
    """The display name of an RSICD or RSSCN7 class."""
    return (RSICD.get(kind) or RSSCN7[kind])[0]
