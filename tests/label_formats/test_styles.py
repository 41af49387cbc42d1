"""Class names in styles of QGIS, SLD, and the categories and attribute tables of GDAL."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from bimors_cli.errors import LabelsError
from bimors_cli.labels import parse_labels, read_labels
from bimors_cli.output.label_raster import raster_qml

RENDERER = """<renderer-v2 type="{type}" attr="class"><categories>
  <category symbol="0" value="1" label="pond"/>
  <category symbol="1" label="lake" type="List"><val value="2"/><val value="3"/></category>
  <category symbol="2" value="" label="all other values"/>
 </categories><symbols>
  <symbol name="0"><layer><Option><Option name="color" value="0,0,255,255,rgb:0,0,1,1"/></Option></layer></symbol>
  <symbol name="1"><layer><prop k="color" v="0,255,0,255"/></layer></symbol>
 </symbols></renderer-v2>"""
SLD = """<?xml version="1.0" encoding="UTF-8"?>
<StyledLayerDescriptor xmlns="http://www.opengis.net/sld" xmlns:ogc="http://www.opengis.net/ogc" xmlns:se="http://www.opengis.net/se">
 <NamedLayer><se:Name>tiles</se:Name><UserStyle><se:FeatureTypeStyle>{rules}</se:FeatureTypeStyle></UserStyle></NamedLayer>
</StyledLayerDescriptor>"""
RULE = """<se:Rule><se:Name>{name}</se:Name><se:Description><se:Title>{name}</se:Title></se:Description>
 <ogc:Filter><ogc:{filter}><ogc:PropertyName>c</ogc:PropertyName><ogc:Literal>1</ogc:Literal></ogc:{filter}></ogc:Filter>
 <se:PolygonSymbolizer><se:Fill><se:SvgParameter name="fill">{colour}</se:SvgParameter></se:Fill></se:PolygonSymbolizer>
</se:Rule>"""
RULES = "".join(
    RULE.format(name=name, colour=colour, filter="PropertyIsEqualTo")
    for name, colour in (("pond", "#0000ff"), ("lake", "#00ff00"))
)
COLOUR_MAP = """<se:Rule><se:RasterSymbolizer><se:ColorMap type="{type}">
 <se:ColorMapEntry color="#0000ff" quantity="1" label="pond"/>
 <se:ColorMapEntry color="#00ff00" quantity="2" label="lake"/>
</se:ColorMap></se:RasterSymbolizer></se:Rule>"""
TABLE = """<GDALRasterAttributeTable tableType="thematic">
 <FieldDefn index="0"><Name>Value</Name><Type>0</Type><Usage>5</Usage></FieldDefn>
 <FieldDefn index="1"><Name>Class_Name</Name><Type>2</Type><Usage>0</Usage></FieldDefn>
 <FieldDefn index="2"><Name>R</Name><Type>0</Type><Usage>6</Usage></FieldDefn>
 <FieldDefn index="3"><Name>G</Name><Type>0</Type><Usage>7</Usage></FieldDefn>
 <FieldDefn index="4"><Name>B</Name><Type>0</Type><Usage>8</Usage></FieldDefn>
 <Row index="0"><F>1</F><F>pond</F><F>0</F><F>0</F><F>255</F></Row>
 <Row index="1"><F>2</F><F>lake</F><F>0</F><F>255</F><F>0</F></Row>
</GDALRasterAttributeTable>"""
BAND = '<PAMDataset><PAMRasterBand band="1">{}</PAMRasterBand></PAMDataset>'
NAMES = "<CategoryNames><Category/><Category>pond</Category><Category>lake</Category></CategoryNames>"
COLOURS = """<ColorTable><Entry c1="0" c2="0" c3="0"/><Entry c1="0" c2="0" c3="255"/>
 <Entry c1="0" c2="255" c3="0"/></ColorTable>"""


@pytest.mark.parametrize(
    "text",
    [
        f"<!DOCTYPE qgis><qgis>{RENDERER.format(type='categorizedSymbol')}</qgis>",
        f"<!DOCTYPE qgis-layer-definition><qlr><maplayer>{RENDERER.format(type='categorizedSymbol')}</maplayer></qlr>",
        SLD.format(rules=RULES), SLD.format(rules=RULES + "<se:Rule><se:Name>x</se:Name><se:ElseFilter/></se:Rule>"),
        SLD.format(rules=COLOUR_MAP.format(type="values")),
        BAND.format(TABLE), TABLE, BAND.format(COLOURS + NAMES),
        f'<VRTDataset><VRTRasterBand band="1">{COLOURS}{NAMES}</VRTRasterBand></VRTDataset>',
    ],
)  # fmt: skip
def test_names_and_colours(text: str) -> None:
    labels = parse_labels(text.encode(), "style.xml")
    assert [(label.name, label.colour) for label in labels.items] == [("pond", "#0000ff"), ("lake", "#00ff00")]


def test_own_styles_and_names_are_read_back(tmp_path: Path) -> None:
    labels = parse_labels(b"pond | pool\t#0000ff\nlake\t#00ff00\n", "l.txt")
    assert parse_labels(raster_qml(labels).encode(), "l.qml").names == ("pond", "lake")
    named = BAND.format(NAMES.replace("<Category/>", "<Category>no label</Category>"))
    assert parse_labels(named.encode(), "map.tif.aux.xml").names == ("pond", "lake")


def test_categories_that_gdal_writes(tmp_path: Path) -> None:
    path = tmp_path / "map.tif"
    with rasterio.open(path, "w", driver="GTiff", width=2, height=2, count=1, dtype="uint8") as raster:
        raster.write(np.ones((1, 2, 2), np.uint8))
    vrt = tmp_path / "map.vrt"
    rasterio.shutil.copy(path, vrt, driver="VRT")
    vrt.write_text(vrt.read_text().replace('band="1">', f'band="1">{COLOURS}{NAMES}'))
    with rasterio.open(vrt) as raster:
        assert raster.colormap(1)[1][:3] == (0, 0, 255)
    assert [(label.name, label.colour) for label in read_labels(vrt).items] == [
        ("pond", "#0000ff"),
        ("lake", "#00ff00"),
    ]


@pytest.mark.parametrize(
    "text, says",
    [
        (f"<!DOCTYPE qgis><qgis>{RENDERER.format(type='graduatedSymbol')}</qgis>", "of the type graduatedSymbol"),
        (f"<!DOCTYPE qgis><qgis>{RENDERER.format(type='RuleRenderer')}</qgis>", "of the type RuleRenderer"),
        ("<qgis><rasterrenderer type='singlebandpseudocolor'/></qgis>", "of the type singlebandpseudocolor"),
        ("<qlr>" + 2 * RENDERER.format(type="categorizedSymbol") + "</qlr>", "styles of 2 layers"),
        ("<qgis projectname='x'><projectlayers/></qgis>", "a QGIS project"),
        ("<qgis><rasterrenderer type='paletted'><paletteEntry value='1' label='1'/><paletteEntry value='2' label='2'/>"
         "</rasterrenderer></qgis>", "numbers but no names"),
        (SLD.format(rules=RULES.replace("PropertyIsEqualTo", "PropertyIsLessThan")), "ranges of numbers"),
        (SLD.format(rules=COLOUR_MAP.format(type="ramp")), "ranges of numbers"),
        (SLD.format(rules=""), "no class names"),
        (BAND.format(""), "holds no class names"), (2 * BAND.format(NAMES), "cannot be read"),
        (f"<PAMDataset>{2 * f'<PAMRasterBand>{NAMES}</PAMRasterBand>'}</PAMDataset>", "class names of 2 bands"),
        (BAND.format(TABLE.replace("<Type>2</Type>", "<Type>0</Type>")), "without a column of class names"),
        ("<!DOCTYPE html>\n<html><body>Sign in</body></html>", "a web page"),
        ("<table><tr><td>pond</td></tr></table>", "a web page"),
        ("<?xml version='1.0'?><kml xmlns='http://www.opengis.net/kml/2.2'/>", "an XML file of the kind kml"),
        ("<!DOCTYPE qgis [<!ENTITY a 'b'>]><qgis>&a;</qgis>", "entities"),
    ],
)  # fmt: skip
def test_refused(text: str, says: str) -> None:
    with pytest.raises(LabelsError, match=says) as caught:
        parse_labels(text.encode(), "style.xml")
    assert "\n" not in caught.value.message and caught.value.hint
