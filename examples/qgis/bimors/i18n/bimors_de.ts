<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="de" sourcelanguage="en">
<context>
    <name>bimors</name>
    <message>
        <source>Scenes</source>
        <translation>Szenen</translation>
    </message>
    <message>
        <source>Scene information</source>
        <translation>Szeneninformation</translation>
    </message>
    <message>
        <source>Shows how bimors reads a scene: CRS, pixel size, bands with statistics, mask, and the tiles that it would have.

It warns if pixels or tiles have sizes that the model was not trained on, and with an adapter it checks whether the adapter suits the scene. The page opens in Processing &gt; Results Viewer.</source>
        <translation>Zeigt, wie bimors eine Szene liest: KBS, Pixelgröße, Kanäle mit Statistik, Maske und die Kacheln, die sie hätte.

Es gibt eine Warnung, wenn Pixel oder Kacheln Größen haben, mit denen das Modell nicht trainiert wurde; mit einem Adapter wird geprüft, ob er zur Szene passt. Die Seite öffnet sich unter Verarbeitung &gt; Ergebnisanzeige.</translation>
    </message>
    <message>
        <source>Scene</source>
        <translation>Szene</translation>
    </message>
    <message>
        <source>A raster layer.</source>
        <translation>Ein Rasterlayer.</translation>
    </message>
    <message>
        <source>Tile size</source>
        <translation>Kachelgröße</translation>
    </message>
    <message>
        <source>Side of a tile: pixels, or a length on the ground such as 500m or 2km.</source>
        <translation>Seitenlänge einer Kachel: Pixel oder eine Länge am Boden wie 500m oder 2km.</translation>
    </message>
    <message>
        <source>Adapter</source>
        <translation>Adapter</translation>
    </message>
    <message>
        <source>Folder of an adapter trained with 'Finetune from polygons'. Empty: the model without adapter.</source>
        <translation>Verzeichnis eines Adapters, der mit 'Aus Polygonen trainieren' erzeugt wurde. Leer: das Modell ohne Adapter.</translation>
    </message>
    <message>
        <source>Tile overlap</source>
        <translation>Überlappung der Kacheln</translation>
    </message>
    <message>
        <source>Overlap of neighbouring tiles: pixels, a percentage such as 25%, or a length such as 50m.</source>
        <translation>Überlappung benachbarter Kacheln: Pixel, ein Prozentsatz wie 25% oder eine Länge wie 50m.</translation>
    </message>
    <message>
        <source>Bands for red, green, blue</source>
        <translation>Kanäle für Rot, Grün, Blau</translation>
    </message>
    <message>
        <source>Band numbers, counted from 1, for example 4,3,2. Empty: by the names of the bands, by colour interpretation, else the first three. For a model of other bands: all of these, in its order.</source>
        <translation>Kanalnummern, ab 1 gezählt, zum Beispiel 4,3,2. Leer: nach den Namen der Kanäle, nach der Farbinterpretation, sonst die ersten drei. Für ein Modell mit anderen Kanälen: alle davon, in dessen Reihenfolge.</translation>
    </message>
    <message>
        <source>Stretch</source>
        <translation>Streckung</translation>
    </message>
    <message>
        <source>Range of pixel values that is stretched to 8 bits, the same for a whole scene: auto, none, MIN,MAX, or percentiles such as p2,p98. MIN and MAX are values as the file stores them, before scale and offset.</source>
        <translation>Bereich der Pixelwerte, der auf 8 Bit gestreckt wird, für die ganze Szene gleich: auto, none, MIN,MAX oder Perzentile wie p2,p98. MIN und MAX sind Werte, wie die Datei sie speichert, vor Skalierung und Versatz.</translation>
    </message>
    <message>
        <source>Nodata value</source>
        <translation>Nodata-Wert</translation>
    </message>
    <message>
        <source>Nodata value to use instead of the scene's own, as the file stores it, before scale and offset: a number, nan, or none. An alpha band or mask is applied in addition.</source>
        <translation>Nodata-Wert anstelle desjenigen der Szene, wie die Datei ihn speichert, vor Skalierung und Versatz: eine Zahl, nan oder none. Ein Alphakanal oder eine Maske wird zusätzlich angewendet.</translation>
    </message>
    <message>
        <source>Ignore alpha band and mask</source>
        <translation>Alphakanal und Maske ignorieren</translation>
    </message>
    <message>
        <source>Do not apply the alpha band or the mask of the scene, for example if near infrared is flagged as alpha: the band is one of data then.</source>
        <translation>Alphakanal oder Maske der Szene nicht anwenden, zum Beispiel wenn nahes Infrarot als Alpha gekennzeichnet ist: der Kanal gehört dann zu den Daten.</translation>
    </message>
    <message>
        <source>CRS of a scene without CRS</source>
        <translation>KBS einer Szene ohne KBS</translation>
    </message>
    <message>
        <source>CRS of a scene that has none, such as EPSG:32633.</source>
        <translation>KBS einer Szene, die keines hat, etwa EPSG:32633.</translation>
    </message>
    <message>
        <source>Model</source>
        <translation>Modell</translation>
    </message>
    <message>
        <source>Name of a model, as bimors models list shows them, or folder of a bundle.</source>
        <translation>Name eines Modells, wie bimors models list sie zeigt, oder Verzeichnis eines Bundles.</translation>
    </message>
    <message>
        <source>Additional command-line parameters</source>
        <translation>Weitere Kommandozeilenparameter</translation>
    </message>
    <message>
        <source>Options of the command, as bimors COMMAND --help shows them.</source>
        <translation>Optionen des Befehls, wie bimors BEFEHL --help sie zeigt.</translation>
    </message>
    <message>
        <source>Page</source>
        <translation>Seite</translation>
    </message>
    <message>
        <source>Tile grid</source>
        <translation>Kachelgitter</translation>
    </message>
    <message>
        <source>Writes the tiles that 'Classify scene' would process, as polygons. No pixel is read and no model is loaded, so it takes seconds: use it to choose a tile size.</source>
        <translation>Schreibt die Kacheln, die 'Szene klassifizieren' verarbeiten würde, als Polygone. Es wird kein Pixel gelesen und kein Modell geladen, daher dauert es nur Sekunden: damit lässt sich die Kachelgröße wählen.</translation>
    </message>
    <message>
        <source>The raster layer whose tiles are processed.</source>
        <translation>Der Rasterlayer, dessen Kacheln verarbeitet werden.</translation>
    </message>
    <message>
        <source>Area of interest</source>
        <translation>Interessengebiet</translation>
    </message>
    <message>
        <source>Area of interest: only tiles in these polygons are processed.</source>
        <translation>Interessengebiet: nur Kacheln in diesen Polygonen werden verarbeitet.</translation>
    </message>
    <message>
        <source>Tiles of the area of interest</source>
        <translation>Kacheln des Interessengebiets</translation>
    </message>
    <message>
        <source>Which tiles belong to the AOI: those whose centre is inside, with any part inside, or entirely within. centre: its centre is inside; any: any part is inside; within: all of it is inside.</source>
        <translation>Welche Kacheln zum Interessengebiet gehören: die mit dem Mittelpunkt, mit irgendeinem Teil oder ganz darin. centre: der Mittelpunkt liegt darin; any: irgendein Teil liegt darin; within: alles liegt darin.</translation>
    </message>
    <message>
        <source>Further scenes</source>
        <translation>Weitere Szenen</translation>
    </message>
    <message>
        <source>Scenes that are processed in the same run.</source>
        <translation>Szenen, die im selben Lauf verarbeitet werden.</translation>
    </message>
    <message>
        <source>CRS of the output</source>
        <translation>KBS der Ausgabe</translation>
    </message>
    <message>
        <source>CRS of the output layer. Default: the scene's.</source>
        <translation>KBS des Ausgabelayers. Vorgabe: das der Szene.</translation>
    </message>
    <message>
        <source>Classification</source>
        <translation>Klassifikation</translation>
    </message>
    <message>
        <source>Classify scene</source>
        <translation>Szene klassifizieren</translation>
    </message>
    <message>
        <source>Classifies the tiles of a raster layer with class names of your choice. The output layer has one polygon per tile, with label, confidence, second-best label and a caption, and is styled by class.

The labels are those of a labels file, with one class name per line, or of a wordlist.

With an adapter and 'Coverage of label sets', tiles that may be of several classes are hatched in the colours of the best one, and the field label_set has all of them.

To resume a cancelled run, select the same output file and check 'Resume a cancelled run'.</source>
        <translation>Klassifiziert die Kacheln eines Rasterlayers mit frei gewählten Klassennamen. Der Ausgabelayer hat ein Polygon je Kachel mit Klasse (label), Konfidenz, zweitbester Klasse und einer Bildbeschreibung und ist nach Klassen gestaltet.

Die Klassen stehen in einer Klassendatei mit einem Klassennamen je Zeile oder in einer Wortliste.

Mit einem Adapter und 'Abdeckung der Klassenmengen' werden Kacheln, die zu mehreren Klassen gehören können, in der Farbe der besten schraffiert, und das Feld label_set enthält alle.

Um einen abgebrochenen Lauf fortzusetzen, dieselbe Ausgabedatei wählen und 'Abgebrochenen Lauf fortsetzen' anhaken.</translation>
    </message>
    <message>
        <source>Labels file</source>
        <translation>Klassendatei</translation>
    </message>
    <message>
        <source>Text file with one class name per line. Synonyms follow after bars: forest | woodland. A tab and a colour such as #2ca02c may follow. Also CSV, JSON, YAML, and styles of QGIS.</source>
        <translation>Textdatei mit einem Klassennamen je Zeile. Synonyme folgen nach senkrechten Strichen: Wald | Forst. Danach können ein Tabulator und eine Farbe wie #2ca02c folgen. Auch CSV, JSON, YAML und Stile von QGIS.</translation>
    </message>
    <message>
        <source>Or a wordlist</source>
        <translation>Oder eine Wortliste</translation>
    </message>
    <message>
        <source>The class names and colours of a land cover map, instead of a labels file. nlcd: National Land Cover Database of the United States (NLCD 2021), conterminous states; worldcover: ESA WorldCover 10 m, 2020 and 2021; dynamic-world: Dynamic World 10 m land cover; copernicus: Copernicus Global Land Cover 100 m (CGLS-LC100, version 3); code 0 (unknown) is left out; corine:1: CORINE Land Cover of Europe; level 1; corine:2: CORINE Land Cover of Europe; level 2; corine:3: CORINE Land Cover of Europe; level 3.</source>
        <translation>Die Klassennamen und Farben einer Landbedeckungskarte anstelle einer Klassendatei. nlcd: National Land Cover Database der Vereinigten Staaten (NLCD 2021), ohne Alaska und Hawaii; worldcover: ESA WorldCover 10 m, 2020 und 2021; dynamic-world: Dynamic World, Landbedeckung 10 m; copernicus: Copernicus Global Land Cover 100 m (CGLS-LC100, Version 3); ohne Code 0 (unbekannt); corine:1: CORINE Landbedeckung Europas, Ebene 1; corine:2: CORINE Landbedeckung Europas, Ebene 2; corine:3: CORINE Landbedeckung Europas, Ebene 3.</translation>
    </message>
    <message>
        <source>Minimum confidence</source>
        <translation>Mindestkonfidenz</translation>
    </message>
    <message>
        <source>Smallest confidence of a label, from 0 to 1. Tiles below it get no label.</source>
        <translation>Kleinste Konfidenz einer Klasse, von 0 bis 1. Kacheln darunter erhalten keine Klasse.</translation>
    </message>
    <message>
        <source>Captions</source>
        <translation>Bildbeschreibungen</translation>
    </message>
    <message>
        <source>Which tiles are captioned; without captions it is faster. auto: where the head uses them, or the scene is like the training images; all: every tile; none: no tile; doubtful: tiles with a low confidence or without a label.</source>
        <translation>Welche Kacheln beschrieben werden; ohne Beschreibungen geht es schneller. auto: wo der Klassifikator sie nutzt oder die Szene den Trainingsbildern ähnelt; all: jede Kachel; none: keine Kachel; doubtful: Kacheln mit geringer Konfidenz oder ohne Klasse.</translation>
    </message>
    <message>
        <source>Doubtful below</source>
        <translation>Unsicher unter</translation>
    </message>
    <message>
        <source>For 'Captions' doubtful: confidence below which a tile is captioned, from 0 to 1.</source>
        <translation>Für 'Bildbeschreibungen' doubtful: Konfidenz, unter der eine Kachel beschrieben wird, von 0 bis 1.</translation>
    </message>
    <message>
        <source>Keep image features</source>
        <translation>Bildmerkmale speichern</translation>
    </message>
    <message>
        <source>Store the image features of the tiles in the file: 'Search tiles' and 'Suggest tiles to label' need them.</source>
        <translation>Die Bildmerkmale der Kacheln in der Datei speichern: 'Kacheln suchen' und 'Kacheln zum Beschriften vorschlagen' brauchen sie.</translation>
    </message>
    <message>
        <source>Probability of each label</source>
        <translation>Wahrscheinlichkeit jeder Klasse</translation>
    </message>
    <message>
        <source>Add a field with the probability of each label: 'Detect change' needs them.</source>
        <translation>Ein Feld mit der Wahrscheinlichkeit jeder Klasse anlegen: 'Veränderung erkennen' braucht sie.</translation>
    </message>
    <message>
        <source>Resume a cancelled run</source>
        <translation>Abgebrochenen Lauf fortsetzen</translation>
    </message>
    <message>
        <source>Resume a run that was cancelled, or that could not read some tiles. Select the same output file.</source>
        <translation>Einen Lauf fortsetzen, der abgebrochen wurde oder einige Kacheln nicht lesen konnte. Dieselbe Ausgabedatei wählen.</translation>
    </message>
    <message>
        <source>Coverage of label sets</source>
        <translation>Abdeckung der Klassenmengen</translation>
    </message>
    <message>
        <source>Add a column label_set with the labels that a tile may have: at least this fraction of the sets, such as 90%, has the true label. The set of a tile that is unlike all examples is empty. Needs an adapter that classifies by views.</source>
        <translation>Eine Spalte label_set mit den Klassen anlegen, zu denen eine Kachel gehören kann: mindestens dieser Anteil der Mengen, etwa 90%, enthält die wahre Klasse. Die Menge einer Kachel, die keinem Beispiel ähnelt, ist leer. Braucht einen Adapter, der nach Ansichten klassifiziert.</translation>
    </message>
    <message>
        <source>Average overlapping tiles</source>
        <translation>Überlappende Kacheln mitteln</translation>
    </message>
    <message>
        <source>With 'Tile overlap': average overlapping tiles, for a map as fine as the step between tiles.</source>
        <translation>Mit 'Überlappung der Kacheln': überlappende Kacheln mitteln, für eine Karte, die so fein ist wie der Schritt zwischen den Kacheln.</translation>
    </message>
    <message>
        <source>Least valid fraction</source>
        <translation>Mindestanteil gültiger Pixel</translation>
    </message>
    <message>
        <source>Smallest fraction of valid pixels, from 0 to 1. Tiles with less are nodata.</source>
        <translation>Kleinster Anteil gültiger Pixel, von 0 bis 1. Kacheln mit weniger gelten als Nodata.</translation>
    </message>
    <message>
        <source>Keep empty tiles</source>
        <translation>Leere Kacheln behalten</translation>
    </message>
    <message>
        <source>Write rows for tiles without data or outside the AOI as well.</source>
        <translation>Auch Zeilen für Kacheln ohne Daten oder außerhalb des Interessengebiets schreiben.</translation>
    </message>
    <message>
        <source>Labels per tile</source>
        <translation>Klassen je Kachel</translation>
    </message>
    <message>
        <source>Number of labels per row, best first.</source>
        <translation>Anzahl der Klassen je Zeile, die beste zuerst.</translation>
    </message>
    <message>
        <source>Refine labels</source>
        <translation>Klassen verfeinern</translation>
    </message>
    <message>
        <source>Refine the labels of all tiles together after inference: transductive uses similar tiles, spatial also uses neighbours on the map. transductive: by similar tiles; spatial: by similar tiles and map neighbours.</source>
        <translation>Die Klassen aller Kacheln nach der Klassifikation gemeinsam verfeinern: transductive nutzt ähnliche Kacheln, spatial auch Nachbarn auf der Karte. transductive: nach ähnlichen Kacheln; spatial: nach ähnlichen Kacheln und Nachbarn auf der Karte.</translation>
    </message>
    <message>
        <source>Expected areas</source>
        <translation>Erwartete Flächen</translation>
    </message>
    <message>
        <source>CSV with the expected share or area of each label (name,area): the probabilities are adjusted to it. Default: all labels are equally probable before the image is seen.</source>
        <translation>CSV mit dem erwarteten Anteil oder der erwarteten Fläche jeder Klasse (name,area): die Wahrscheinlichkeiten werden daran angepasst. Vorgabe: alle Klassen sind gleich wahrscheinlich, bevor das Bild gesehen wird.</translation>
    </message>
    <message>
        <source>Novelty of each tile</source>
        <translation>Neuheit jeder Kachel</translation>
    </message>
    <message>
        <source>Add a column novelty: 0 is a tile like the examples of the adapter, or like the training images of the model; 1 is unlike all of them.</source>
        <translation>Eine Spalte novelty anlegen: 0 ist eine Kachel, die den Beispielen des Adapters oder den Trainingsbildern des Modells ähnelt; 1 ähnelt keinem davon.</translation>
    </message>
    <message>
        <source>Rate of tiles unlike all examples</source>
        <translation>Rate der Kacheln, die keinem Beispiel ähneln</translation>
    </message>
    <message>
        <source>Leave tiles that are unlike all examples without a label, such as those of a class without examples. The rate is the largest fraction of the tiles that are like the examples that this may be: 0.05 is one in twenty. Needs an adapter that classifies by views.</source>
        <translation>Kacheln, die keinem Beispiel ähneln, ohne Klasse lassen, etwa solche einer Klasse ohne Beispiele. Die Rate ist der größte Anteil der Kacheln, die den Beispielen ähneln und trotzdem ohne Klasse bleiben dürfen: 0.05 ist eine von zwanzig. Braucht einen Adapter, der nach Ansichten klassifiziert.</translation>
    </message>
    <message>
        <source>Head</source>
        <translation>Klassifikator</translation>
    </message>
    <message>
        <source>Classification head: auto uses the adapter's own, zero-shot uses plain CLIP without an adapter. auto: the adapter's own; zero-shot: plain CLIP, no adapter.</source>
        <translation>Klassifikator: auto nimmt den des Adapters, zero-shot reines CLIP ohne Adapter. auto: der des Adapters; zero-shot: reines CLIP, kein Adapter.</translation>
    </message>
    <message>
        <source>Prompt templates</source>
        <translation>Satzvorlagen</translation>
    </message>
    <message>
        <source>For the head zero-shot: one template a line with {} in place of the label, such as "an aerial photo of a {}.". Empty: those of the model.</source>
        <translation>Für den Klassifikator zero-shot: eine Vorlage je Zeile mit {} anstelle der Klasse, etwa "an aerial photo of a {}.". Leer: die des Modells.</translation>
    </message>
    <message>
        <source>Captioner</source>
        <translation>Bildbeschreiber</translation>
    </message>
    <message>
        <source>Use the bundle with another captioner of the catalog, or none. Fetch it first: bimors models fetch NAME --captioner CAPTIONER.</source>
        <translation>Das Bundle mit einem anderen Bildbeschreiber des Katalogs verwenden, oder none für keinen. Zuerst herunterladen: bimors models fetch NAME --captioner CAPTIONER.</translation>
    </message>
    <message>
        <source>Reuse captions</source>
        <translation>Beschreibungen wiederverwenden</translation>
    </message>
    <message>
        <source>Reuse captions of identical pixels from earlier runs, and store new ones.</source>
        <translation>Beschreibungen gleicher Pixel aus früheren Läufen wiederverwenden und neue speichern.</translation>
    </message>
    <message>
        <source>Verify the model</source>
        <translation>Modell prüfen</translation>
    </message>
    <message>
        <source>Hash all files of the model. Default: only those that are new, or that changed since they were last hashed.</source>
        <translation>Prüfsummen aller Dateien des Modells berechnen. Vorgabe: nur von neuen Dateien und solchen, die sich seit der letzten Prüfung geändert haben.</translation>
    </message>
    <message>
        <source>Batch size</source>
        <translation>Stapelgröße</translation>
    </message>
    <message>
        <source>Tiles per batch. Default: by the memory of the device.</source>
        <translation>Kacheln je Stapel. Vorgabe: nach dem Speicher des Geräts.</translation>
    </message>
    <message>
        <source>Device</source>
        <translation>Gerät</translation>
    </message>
    <message>
        <source>auto, cpu, cuda, cuda:N or mps.</source>
        <translation>auto, cpu, cuda, cuda:N oder mps.</translation>
    </message>
    <message>
        <source>Pixels of the label raster</source>
        <translation>Pixel des Klassenrasters</translation>
    </message>
    <message>
        <source>Pixel size of 'Label raster': tile writes one pixel per tile (with 'Tile overlap', one per step, centred on the tile), scene writes the pixels of the scene. tile: one pixel per tile; scene: the pixels of the scene.</source>
        <translation>Pixelgröße von 'Klassenraster': tile schreibt ein Pixel je Kachel (mit 'Überlappung der Kacheln' eines je Schritt, mittig auf der Kachel), scene schreibt die Pixel der Szene. tile: ein Pixel je Kachel; scene: die Pixel der Szene.</translation>
    </message>
    <message>
        <source>Classified tiles</source>
        <translation>Klassifizierte Kacheln</translation>
    </message>
    <message>
        <source>Label raster</source>
        <translation>Klassenraster</translation>
    </message>
    <message>
        <source>GeoTIFF: band 1 is the number of the label, from 1, with a colour table; band 2 is the confidence.</source>
        <translation>GeoTIFF: Kanal 1 ist die Nummer der Klasse, ab 1, mit einer Farbtabelle; Kanal 2 ist die Konfidenz.</translation>
    </message>
    <message>
        <source>Caption tiles</source>
        <translation>Kacheln beschreiben</translation>
    </message>
    <message>
        <source>Describes each tile of a scene in a sentence, without labels. The output layer has one polygon per tile with a field caption, which View &gt; Show Map Tips shows.</source>
        <translation>Beschreibt jede Kachel einer Szene in einem Satz, ohne Klassen. Der Ausgabelayer hat ein Polygon je Kachel mit einem Feld caption, das Ansicht &gt; Kartenhinweise anzeigen zeigt.</translation>
    </message>
    <message>
        <source>Detect change</source>
        <translation>Veränderung erkennen</translation>
    </message>
    <message>
        <source>Compares two layers of 'Classify scene', of two dates on one grid. The output layer has the label before and after, and the probability of a change, for each tile.

Classify both dates with the same model, adapter and labels, and with 'Probability of each label' checked.

For areas of change with 95 % intervals, draw a sample of the output layer, with stratum as the field of the strata.</source>
        <translation>Vergleicht zwei Layer von 'Szene klassifizieren' aus zwei Zeitpunkten auf einem Gitter. Der Ausgabelayer hat für jede Kachel die Klasse davor und danach und die Wahrscheinlichkeit einer Veränderung.

Beide Zeitpunkte mit demselben Modell, demselben Adapter und denselben Klassen klassifizieren und dabei 'Wahrscheinlichkeit jeder Klasse' anhaken.

Für Flächen der Veränderung mit 95-%-Intervallen eine Stichprobe des Ausgabelayers ziehen, mit stratum als Feld der Schichten.</translation>
    </message>
    <message>
        <source>Classified layer before</source>
        <translation>Klassifizierter Layer davor</translation>
    </message>
    <message>
        <source>The GeoPackage that bimors wrote, not a copy of it: 'Restore exported copy' repairs a copy.</source>
        <translation>Das GeoPackage, das bimors geschrieben hat, keine Kopie davon: 'Exportierte Kopie wiederherstellen' repariert eine Kopie.</translation>
    </message>
    <message>
        <source>Classified layer after</source>
        <translation>Klassifizierter Layer danach</translation>
    </message>
    <message>
        <source>Largest error (%)</source>
        <translation>Größter Fehler (%)</translation>
    </message>
    <message>
        <source>Largest probability that a tile called change did not change, and that one called no change did. Tiles between are doubtful.</source>
        <translation>Größte Wahrscheinlichkeit, dass eine als Veränderung bezeichnete Kachel sich nicht verändert hat und dass eine als unverändert bezeichnete sich verändert hat. Kacheln dazwischen sind zweifelhaft.</translation>
    </message>
    <message>
        <source>Transitions in hectares</source>
        <translation>Übergänge in Hektar</translation>
    </message>
    <message>
        <source>CSV table with a row per label before, and a column per label after.</source>
        <translation>CSV-Tabelle mit einer Zeile je Klasse davor und einer Spalte je Klasse danach.</translation>
    </message>
    <message>
        <source>Change</source>
        <translation>Veränderung</translation>
    </message>
    <message>
        <source>Merge shards</source>
        <translation>Teilläufe zusammenführen</translation>
    </message>
    <message>
        <source>Writes the layer of a run that was done in shards, for example on a cluster with bimors classify --shard, as one run would have written it.

Select the journals of all shards. If scenes, area of interest, model or adapter have other paths on this computer than where the shards were processed, select them here.</source>
        <translation>Schreibt den Layer eines Laufs, der in Teilen verarbeitet wurde, zum Beispiel auf einem Cluster mit bimors classify --shard, so wie ein einziger Lauf ihn geschrieben hätte.

Die Journale aller Teile wählen. Wenn Szenen, Interessengebiet, Modell oder Adapter auf diesem Rechner andere Pfade haben als dort, wo die Teile verarbeitet wurden, sie hier wählen.</translation>
    </message>
    <message>
        <source>Journals of all shards</source>
        <translation>Journale aller Teile</translation>
    </message>
    <message>
        <source>The files that the shards wrote.</source>
        <translation>Die Dateien, die die Teilläufe geschrieben haben.</translation>
    </message>
    <message>
        <source>Scenes on this computer</source>
        <translation>Szenen auf diesem Rechner</translation>
    </message>
    <message>
        <source>Only if their paths differ.</source>
        <translation>Nur wenn ihre Pfade abweichen.</translation>
    </message>
    <message>
        <source>Area of interest on this computer</source>
        <translation>Interessengebiet auf diesem Rechner</translation>
    </message>
    <message>
        <source>Only if its path differs.</source>
        <translation>Nur wenn sein Pfad abweicht.</translation>
    </message>
    <message>
        <source>Adapter on this computer</source>
        <translation>Adapter auf diesem Rechner</translation>
    </message>
    <message>
        <source>Only if its name or folder differs on this computer.</source>
        <translation>Nur wenn sein Name oder Verzeichnis auf diesem Rechner abweicht.</translation>
    </message>
    <message>
        <source>Keep the journals</source>
        <translation>Journale behalten</translation>
    </message>
    <message>
        <source>Do not delete the journals after the merge.</source>
        <translation>Die Journale nach dem Zusammenführen nicht löschen.</translation>
    </message>
    <message>
        <source>Search and review</source>
        <translation>Suchen und prüfen</translation>
    </message>
    <message>
        <source>Search tiles</source>
        <translation>Kacheln suchen</translation>
    </message>
    <message>
        <source>Finds the tiles that match a text or other tiles best, in a layer of 'Classify scene' with 'Keep image features' checked. Nothing is classified again.

To search by example, select some tiles of the layer, choose the layer under 'Tiles like these', and check 'Selected features only'.

The output layer is coloured by score. Toggle editing, set accept of tiles to yes or no, and save the edits; then search again with the layer under 'Judged layers of earlier searches', or train with 'Finetune from corrected tiles'.</source>
        <translation>Findet die Kacheln, die am besten zu einem Text oder zu anderen Kacheln passen, in einem Layer von 'Szene klassifizieren' mit 'Bildmerkmale speichern'. Es wird nichts neu klassifiziert.

Um nach Beispielen zu suchen, einige Kacheln des Layers wählen, den Layer unter 'Kacheln wie diese' einstellen und 'Nur gewählte Objekte' anhaken.

Der Ausgabelayer ist nach der Bewertung gefärbt. Den Bearbeitungsstatus umschalten, accept von Kacheln auf yes oder no setzen und die Änderungen speichern; dann mit dem Layer unter 'Beurteilte Layer früherer Suchen' erneut suchen oder mit 'Aus korrigierten Kacheln trainieren' trainieren.</translation>
    </message>
    <message>
        <source>Classified layer</source>
        <translation>Klassifizierter Layer</translation>
    </message>
    <message>
        <source>A layer of 'Classify scene' with 'Keep image features' checked, not a copy of it.</source>
        <translation>Ein Layer von 'Szene klassifizieren' mit 'Bildmerkmale speichern', keine Kopie davon.</translation>
    </message>
    <message>
        <source>Text</source>
        <translation>Text</translation>
    </message>
    <message>
        <source>What the tiles should show, in a few words.</source>
        <translation>Was die Kacheln zeigen sollen, in wenigen Worten (englisch).</translation>
    </message>
    <message>
        <source>Tiles like these</source>
        <translation>Kacheln wie diese</translation>
    </message>
    <message>
        <source>Selected tiles of the layer.</source>
        <translation>Gewählte Kacheln des Layers.</translation>
    </message>
    <message>
        <source>Tiles unlike these</source>
        <translation>Kacheln anders als diese</translation>
    </message>
    <message>
        <source>Selected tiles of another kind, which look similar.</source>
        <translation>Gewählte Kacheln anderer Art, die ähnlich aussehen.</translation>
    </message>
    <message>
        <source>Judged layers of earlier searches</source>
        <translation>Beurteilte Layer früherer Suchen</translation>
    </message>
    <message>
        <source>Layers of earlier searches in which you accepted and rejected tiles.</source>
        <translation>Layer früherer Suchen, in denen Kacheln angenommen und abgelehnt wurden.</translation>
    </message>
    <message>
        <source>Number of tiles</source>
        <translation>Anzahl der Kacheln</translation>
    </message>
    <message>
        <source>Number of tiles, best first.</source>
        <translation>Anzahl der Kacheln, die beste zuerst.</translation>
    </message>
    <message>
        <source>Class of accepted tiles</source>
        <translation>Klasse der angenommenen Kacheln</translation>
    </message>
    <message>
        <source>Empty: that of the earlier search, otherwise the text.</source>
        <translation>Leer: die der früheren Suche, sonst der Text.</translation>
    </message>
    <message>
        <source>For a text: the model that computed the features, if its name or folder differs now.</source>
        <translation>Für einen Text: das Modell, das die Merkmale berechnet hat, falls sein Name oder Verzeichnis jetzt abweicht.</translation>
    </message>
    <message>
        <source>Replace an existing layer</source>
        <translation>Vorhandenen Layer ersetzen</translation>
    </message>
    <message>
        <source>If unchecked, the program refuses to replace a file, and the work that it may contain.</source>
        <translation>Ohne Haken weigert sich das Programm, eine Datei zu ersetzen, und damit die Arbeit, die darin stecken kann.</translation>
    </message>
    <message>
        <source>Found tiles</source>
        <translation>Gefundene Kacheln</translation>
    </message>
    <message>
        <source>Report</source>
        <translation>Bericht</translation>
    </message>
    <message>
        <source>Writes an HTML page that shows a layer in a browser: map, tiles, classes, confidence and provenance. It needs no network.

For a sample it is a page to label the tiles in a browser; select the answers that it saves in 'Assess accuracy and areas'.</source>
        <translation>Schreibt eine HTML-Seite, die einen Layer im Browser zeigt: Karte, Kacheln, Klassen, Konfidenz und Herkunft. Sie braucht kein Netz.

Für eine Stichprobe ist es eine Seite, auf der sich die Kacheln im Browser beschriften lassen; die Antworten, die sie speichert, in 'Genauigkeit und Flächen schätzen' wählen.</translation>
    </message>
    <message>
        <source>Classified layer or sample</source>
        <translation>Klassifizierter Layer oder Stichprobe</translation>
    </message>
    <message>
        <source>Only if it was moved, or the layer has several.</source>
        <translation>Nur wenn sie verschoben wurde oder der Layer mehrere hat.</translation>
    </message>
    <message>
        <source>Restore exported copy</source>
        <translation>Exportierte Kopie wiederherstellen</translation>
    </message>
    <message>
        <source>Gives a copy that was exported with Export &gt; Save Features As the record of its run again, which an export loses, with the edits of the copy: label, checked, weight, accept, reference and note. All algorithms read the output.

Tiles are found by tile_id, by scene, row and col, or by their places, in any CRS. Features that were merged or moved are left out and counted.</source>
        <translation>Gibt einer Kopie, die mit Exportieren &gt; Objekte speichern als exportiert wurde, die Aufzeichnung ihres Laufs zurück, die beim Export verloren geht, mit den Änderungen der Kopie: label, checked, weight, accept, reference und note. Alle Algorithmen lesen die Ausgabe.

Kacheln werden über tile_id, über scene, row und col oder über ihre Lage gefunden, in jedem KBS. Objekte, die verschmolzen oder verschoben wurden, werden ausgelassen und gezählt.</translation>
    </message>
    <message>
        <source>Exported copy</source>
        <translation>Exportierte Kopie</translation>
    </message>
    <message>
        <source>The copy, with your edits.</source>
        <translation>Die Kopie mit Ihren Änderungen.</translation>
    </message>
    <message>
        <source>Original layer</source>
        <translation>Ursprünglicher Layer</translation>
    </message>
    <message>
        <source>The layer that the copy was exported from, as bimors wrote it. It is not changed.</source>
        <translation>Der Layer, aus dem die Kopie exportiert wurde, wie bimors ihn geschrieben hat. Er wird nicht verändert.</translation>
    </message>
    <message>
        <source>Field of the labels</source>
        <translation>Feld der Klassen</translation>
    </message>
    <message>
        <source>Field of the copy that holds the labels, if it is not label, such as one of a joined table. Where it is null the label stays as it was.</source>
        <translation>Feld der Kopie mit den Klassen, wenn es nicht label ist, etwa das einer verknüpften Tabelle. Wo es leer ist, bleibt die Klasse, wie sie war.</translation>
    </message>
    <message>
        <source>Restored layer</source>
        <translation>Wiederhergestellter Layer</translation>
    </message>
    <message>
        <source>Training</source>
        <translation>Training</translation>
    </message>
    <message>
        <source>Finetune from polygons</source>
        <translation>Aus Polygonen trainieren</translation>
    </message>
    <message>
        <source>Trains an adapter for your classes from polygons, lines or points digitized on a scene, with a field that holds the class name. A tile becomes a training example of the class that covers most of it. Use the same tile size as for classification.

The adapter is written to a folder of that name, which can be used in 'Classify scene'.</source>
        <translation>Trainiert einen Adapter für Ihre Klassen aus Polygonen, Linien oder Punkten, die auf einer Szene digitalisiert wurden, mit einem Feld, das den Klassennamen enthält. Eine Kachel wird zu einem Trainingsbeispiel der Klasse, die den größten Teil von ihr bedeckt. Dieselbe Kachelgröße wie bei der Klassifikation verwenden.

Der Adapter wird in ein Verzeichnis dieses Namens geschrieben, das in 'Szene klassifizieren' verwendet werden kann.</translation>
    </message>
    <message>
        <source>The raster layer that the features label.</source>
        <translation>Der Rasterlayer, für den die Klassen angegeben sind.</translation>
    </message>
    <message>
        <source>Training features</source>
        <translation>Trainingsobjekte</translation>
    </message>
    <message>
        <source>Polygons, lines or points with a class.</source>
        <translation>Polygone, Linien oder Punkte mit einer Klasse.</translation>
    </message>
    <message>
        <source>Class field</source>
        <translation>Klassenfeld</translation>
    </message>
    <message>
        <source>Field of the training features with the class name.</source>
        <translation>Feld der Trainingsobjekte mit dem Klassennamen.</translation>
    </message>
    <message>
        <source>Names of class codes</source>
        <translation>Namen der Klassencodes</translation>
    </message>
    <message>
        <source>CSV with the names of the codes in the class field (code,name). Other codes are skipped.</source>
        <translation>CSV mit den Namen der Codes im Klassenfeld (code,name). Andere Codes werden ausgelassen.</translation>
    </message>
    <message>
        <source>Corrected layers</source>
        <translation>Korrigierte Layer</translation>
    </message>
    <message>
        <source>Layers of 'Suggest tiles to label' whose corrected and checked tiles are examples too.</source>
        <translation>Layer von 'Kacheln zum Beschriften vorschlagen', deren korrigierte und angehakte Kacheln auch Beispiele sind.</translation>
    </message>
    <message>
        <source>Examples per class</source>
        <translation>Beispiele je Klasse</translation>
    </message>
    <message>
        <source>Number of training tiles per class; 0 uses all tiles.</source>
        <translation>Anzahl der Trainingskacheln je Klasse; 0 verwendet alle Kacheln.</translation>
    </message>
    <message>
        <source>Adapter name</source>
        <translation>Name des Adapters</translation>
    </message>
    <message>
        <source>The adapter is a folder of this name.</source>
        <translation>Der Adapter ist ein Verzeichnis dieses Namens.</translation>
    </message>
    <message>
        <source>auto classifies by the views of a tile that suit the examples best, in seconds. The others train a network, which takes minutes. auto: the views that suit the examples best; coop: context tokens shared by all tiles; cocoop: context tokens shifted by the tile's image feature; bimors: context tokens conditioned on the tile's patch tokens and caption; tip-adapter: a cache of the training examples on top of zero-shot; linear: a linear classifier of image features.</source>
        <translation>auto klassifiziert nach den Ansichten einer Kachel, die am besten zu den Beispielen passen, in Sekunden. Die anderen trainieren ein Netz, was Minuten dauert. auto: die Ansichten, die am besten zu den Beispielen passen; coop: Kontext-Token, die allen Kacheln gemeinsam sind; cocoop: Kontext-Token, verschoben um das Bildmerkmal der Kachel; bimors: Kontext-Token abhängig von den Patch-Token und der Beschreibung der Kachel; tip-adapter: ein Speicher der Trainingsbeispiele zusätzlich zu zero-shot; linear: ein linearer Klassifikator der Bildmerkmale.</translation>
    </message>
    <message>
        <source>Views for auto</source>
        <translation>Ansichten für auto</translation>
    </message>
    <message>
        <source>Views of a tile to choose from. Empty: all but captions, and prompts only where the class names alone are useful. bands: statistics of all bands of a tile; bands-around: these, and those of the ground around it; image: CLIP's image feature; false-colour: CLIP's image feature in false colours; around: CLIP's image feature of the ground around it; names: CLIP's zero-shot answer for the class names; captions: the embedding of the caption; prompts: the answer of BiMoRS prompts trained on the examples.</source>
        <translation>Ansichten einer Kachel, aus denen gewählt wird. Leer: alle außer captions, und prompts nur dort, wo schon die Klassennamen nützen. bands: Statistik aller Kanäle einer Kachel; bands-around: diese und die der Umgebung; image: CLIPs Bildmerkmal; false-colour: CLIPs Bildmerkmal in Falschfarben; around: CLIPs Bildmerkmal der Umgebung; names: CLIPs Antwort auf die Klassennamen ohne Training; captions: die Einbettung der Bildbeschreibung; prompts: die Antwort von BiMoRS-Prompts, die mit den Beispielen trainiert wurden.</translation>
    </message>
    <message>
        <source>Caption every tile, or classify by the image alone, which is faster.</source>
        <translation>Jede Kachel beschreiben, oder nur nach dem Bild klassifizieren, was schneller ist.</translation>
    </message>
    <message>
        <source>Epochs</source>
        <translation>Epochen</translation>
    </message>
    <message>
        <source>Passes over the training tiles, for heads but auto.</source>
        <translation>Durchgänge über die Trainingskacheln, für alle Klassifikatoren außer auto.</translation>
    </message>
    <message>
        <source>Highest learning rate</source>
        <translation>Höchste Lernrate</translation>
    </message>
    <message>
        <source>Highest learning rate. Default: that of the head.</source>
        <translation>Höchste Lernrate. Vorgabe: die des Klassifikators.</translation>
    </message>
    <message>
        <source>Examples per batch</source>
        <translation>Beispiele je Stapel</translation>
    </message>
    <message>
        <source>Examples per training batch.</source>
        <translation>Beispiele je Trainingsstapel.</translation>
    </message>
    <message>
        <source>Tip-Adapter cache</source>
        <translation>Tip-Adapter-Speicher</translation>
    </message>
    <message>
        <source>Add the logits of a Tip-Adapter cache of the training examples to those of the head.</source>
        <translation>Die Logits eines Tip-Adapter-Speichers der Trainingsbeispiele zu denen des Klassifikators addieren.</translation>
    </message>
    <message>
        <source>Seed</source>
        <translation>Saat</translation>
    </message>
    <message>
        <source>Random seed of the choice of examples, the crops and the training.</source>
        <translation>Zufallssaat der Auswahl der Beispiele, der Ausschnitte und des Trainings.</translation>
    </message>
    <message>
        <source>Replace an existing adapter</source>
        <translation>Vorhandenen Adapter ersetzen</translation>
    </message>
    <message>
        <source>Resume a run that was cancelled. Select the same folder and name.</source>
        <translation>Einen abgebrochenen Lauf fortsetzen. Dasselbe Verzeichnis und denselben Namen wählen.</translation>
    </message>
    <message>
        <source>Classes to learn</source>
        <translation>Zu lernende Klassen</translation>
    </message>
    <message>
        <source>Text file with the classes to learn, one per line. Empty: all of them.</source>
        <translation>Textdatei mit den zu lernenden Klassen, eine je Zeile. Leer: alle.</translation>
    </message>
    <message>
        <source>Minimum overlap</source>
        <translation>Mindestüberdeckung</translation>
    </message>
    <message>
        <source>Smallest fraction of a tile that its class must cover, from 0 to 1.</source>
        <translation>Kleinster Anteil einer Kachel, den ihre Klasse bedecken muss, von 0 bis 1.</translation>
    </message>
    <message>
        <source>Background class</source>
        <translation>Hintergrundklasse</translation>
    </message>
    <message>
        <source>Class of the tiles that no feature touches.</source>
        <translation>Klasse der Kacheln, die kein Objekt berührt.</translation>
    </message>
    <message>
        <source>Scenes that the features label too.</source>
        <translation>Szenen, für die die Klassen auch gelten.</translation>
    </message>
    <message>
        <source>Output folder</source>
        <translation>Ausgabeverzeichnis</translation>
    </message>
    <message>
        <source>The folder of the adapter is written to it.</source>
        <translation>Das Verzeichnis des Adapters wird hineingeschrieben.</translation>
    </message>
    <message>
        <source>Finetune from label raster</source>
        <translation>Aus Klassenraster trainieren</translation>
    </message>
    <message>
        <source>Trains an adapter from a raster of class codes that labels a scene, such as a land cover map, in any CRS and resolution. A tile becomes a training example of the class of most of its pixels.

The names of the codes are those in the raster, of a CSV, or of a wordlist.

The adapter is written to a folder of that name, which can be used in 'Classify scene'.</source>
        <translation>Trainiert einen Adapter aus einem Raster mit Klassencodes, das für eine Szene gilt, etwa einer Landbedeckungskarte, in jedem KBS und jeder Auflösung. Eine Kachel wird zu einem Trainingsbeispiel der Klasse der meisten ihrer Pixel.

Die Namen der Codes sind die im Raster, die einer CSV-Datei oder die einer Wortliste.

Der Adapter wird in ein Verzeichnis dieses Namens geschrieben, das in 'Szene klassifizieren' verwendet werden kann.</translation>
    </message>
    <message>
        <source>Raster with a class code in each pixel.</source>
        <translation>Raster mit einem Klassencode in jedem Pixel.</translation>
    </message>
    <message>
        <source>CSV with the names of the class codes (code,name); other codes are skipped. Empty: the names in the label raster.</source>
        <translation>CSV mit den Namen der Klassencodes (code,name); andere Codes werden ausgelassen. Leer: die Namen im Klassenraster.</translation>
    </message>
    <message>
        <source>The codes and class names of a land cover map, instead of a CSV. nlcd: National Land Cover Database of the United States (NLCD 2021), conterminous states; worldcover: ESA WorldCover 10 m, 2020 and 2021; dynamic-world: Dynamic World 10 m land cover; copernicus: Copernicus Global Land Cover 100 m (CGLS-LC100, version 3); code 0 (unknown) is left out; corine:1: CORINE Land Cover of Europe; level 1; corine:2: CORINE Land Cover of Europe; level 2; corine:3: CORINE Land Cover of Europe; level 3.</source>
        <translation>Die Codes und Klassennamen einer Landbedeckungskarte anstelle einer CSV-Datei. nlcd: National Land Cover Database der Vereinigten Staaten (NLCD 2021), ohne Alaska und Hawaii; worldcover: ESA WorldCover 10 m, 2020 und 2021; dynamic-world: Dynamic World, Landbedeckung 10 m; copernicus: Copernicus Global Land Cover 100 m (CGLS-LC100, Version 3); ohne Code 0 (unbekannt); corine:1: CORINE Landbedeckung Europas, Ebene 1; corine:2: CORINE Landbedeckung Europas, Ebene 2; corine:3: CORINE Landbedeckung Europas, Ebene 3.</translation>
    </message>
    <message>
        <source>Finetune from corrected tiles</source>
        <translation>Aus korrigierten Kacheln trainieren</translation>
    </message>
    <message>
        <source>Trains an adapter from a layer of 'Classify scene' or 'Suggest tiles to label' in which you corrected labels, or from one of 'Search tiles' in which you accepted and rejected tiles. A tile whose label you changed is an example. A tile whose label was right is one if you tick it in a boolean field named checked.

Save the edits of the layer first. Bands, stretch and tile size are those of the layer.

The adapter is written to a folder of that name, which can be used in 'Classify scene'.</source>
        <translation>Trainiert einen Adapter aus einem Layer von 'Szene klassifizieren' oder 'Kacheln zum Beschriften vorschlagen', in dem Klassen korrigiert wurden, oder aus einem von 'Kacheln suchen', in dem Kacheln angenommen und abgelehnt wurden. Eine Kachel, deren Klasse geändert wurde, ist ein Beispiel. Eine Kachel, deren Klasse richtig war, ist eines, wenn sie in einem booleschen Feld namens checked angehakt ist.

Zuerst die Änderungen des Layers speichern. Kanäle, Streckung und Kachelgröße sind die des Layers.

Der Adapter wird in ein Verzeichnis dieses Namens geschrieben, das in 'Szene klassifizieren' verwendet werden kann.</translation>
    </message>
    <message>
        <source>Corrected layer</source>
        <translation>Korrigierter Layer</translation>
    </message>
    <message>
        <source>For a layer of 'Search tiles'. Empty: the class or text of the search.</source>
        <translation>Für einen Layer von 'Kacheln suchen'. Leer: die Klasse oder der Text der Suche.</translation>
    </message>
    <message>
        <source>Class of rejected tiles</source>
        <translation>Klasse der abgelehnten Kacheln</translation>
    </message>
    <message>
        <source>For a layer of 'Search tiles': of the rejected tiles whose label you did not change. Empty: other.</source>
        <translation>Für einen Layer von 'Kacheln suchen': Klasse der abgelehnten Kacheln, deren Klasse nicht geändert wurde. Leer: other.</translation>
    </message>
    <message>
        <source>Suggest tiles to label</source>
        <translation>Kacheln zum Beschriften vorschlagen</translation>
    </message>
    <message>
        <source>Selects tiles whose correct labels would improve the map most: like many tiles of the map, and unlike the examples and each other. The layer must be written by 'Classify scene' with 'Keep image features' checked.

Correct the labels in the output layer, tick the field checked of each tile that is right, save the edits, and train with 'Finetune from polygons' or 'Finetune from corrected tiles'.

Select a sample for the assessment of accuracy as features to avoid: its tiles must not train the map.</source>
        <translation>Wählt Kacheln, deren richtige Klassen die Karte am meisten verbessern würden: ähnlich wie viele Kacheln der Karte, und anders als die Beispiele und als einander. Der Layer muss von 'Szene klassifizieren' mit 'Bildmerkmale speichern' stammen.

Im Ausgabelayer die Klassen korrigieren, das Feld checked jeder richtigen Kachel anhaken, die Änderungen speichern und mit 'Aus Polygonen trainieren' oder 'Aus korrigierten Kacheln trainieren' trainieren.

Eine Stichprobe für die Schätzung der Genauigkeit als zu meidende Objekte wählen: ihre Kacheln dürfen die Karte nicht trainieren.</translation>
    </message>
    <message>
        <source>Number of tiles to suggest.</source>
        <translation>Anzahl der Kacheln, die vorgeschlagen werden.</translation>
    </message>
    <message>
        <source>Their tiles are not suggested, and tiles like them only after others.</source>
        <translation>Ihre Kacheln werden nicht vorgeschlagen, und ähnliche Kacheln erst nach anderen.</translation>
    </message>
    <message>
        <source>Features to avoid</source>
        <translation>Zu meidende Objekte</translation>
    </message>
    <message>
        <source>No tile under these features is suggested: a sample for the assessment of accuracy.</source>
        <translation>Keine Kachel unter diesen Objekten wird vorgeschlagen: eine Stichprobe für die Schätzung der Genauigkeit.</translation>
    </message>
    <message>
        <source>Least distance in metres</source>
        <translation>Mindestabstand in Metern</translation>
    </message>
    <message>
        <source>Least distance between the centres of two tiles.</source>
        <translation>Kleinster Abstand zwischen den Mittelpunkten zweier Kacheln.</translation>
    </message>
    <message>
        <source>The same seed gives the same result.</source>
        <translation>Dieselbe Saat ergibt dasselbe Ergebnis.</translation>
    </message>
    <message>
        <source>Suggested tiles</source>
        <translation>Vorgeschlagene Kacheln</translation>
    </message>
    <message>
        <source>Accuracy and area</source>
        <translation>Genauigkeit und Fläche</translation>
    </message>
    <message>
        <source>Sample tiles for reference labels</source>
        <translation>Stichprobe für Referenzklassen ziehen</translation>
    </message>
    <message>
        <source>Draws tiles of a layer of 'Classify scene' by chance. Label them by eye, then 'Assess accuracy and areas' estimates the accuracy of the map and the area of each class with 95 % intervals.

Toggle editing of the output layer, and fill in the field reference of each tile with the class that the scene shows there, or with 'cannot tell'. The label of the map is hidden, because it would bias you.

Select the training features as features to avoid: tiles that trained the map make it look better than it is. Accuracy and areas are those of the other tiles.

Set at most one of standard error, number of tiles and tiles per class. If none is set, the sample is as large as a standard error of 0.02 of the overall accuracy needs.</source>
        <translation>Zieht zufällig Kacheln eines Layers von 'Szene klassifizieren'. Nach der Beschriftung nach Augenschein schätzt 'Genauigkeit und Flächen schätzen' die Genauigkeit der Karte und die Fläche jeder Klasse mit 95-%-Intervallen.

Den Bearbeitungsstatus des Ausgabelayers umschalten und das Feld reference jeder Kachel mit der Klasse füllen, die die Szene dort zeigt, oder mit 'cannot tell'. Die Klasse der Karte ist verborgen, weil sie das Urteil verzerren würde.

Die Trainingsobjekte als zu meidende Objekte wählen: Kacheln, die die Karte trainiert haben, lassen sie besser aussehen, als sie ist. Genauigkeit und Flächen sind die der anderen Kacheln.

Höchstens eines von Standardfehler, Anzahl der Kacheln und Kacheln je Klasse setzen. Ist keines gesetzt, so ist die Stichprobe so groß, wie es ein Standardfehler von 0.02 der Gesamtgenauigkeit verlangt.</translation>
    </message>
    <message>
        <source>Design</source>
        <translation>Stichprobenplan</translation>
    </message>
    <message>
        <source>How tiles are drawn: stratified, random or systematic. stratified: by chance from each class of the map; random: by chance from all tiles; systematic: a regular grid of tiles from a random start.</source>
        <translation>Wie Kacheln gezogen werden: stratified, random oder systematic. stratified: zufällig aus jeder Klasse der Karte; random: zufällig aus allen Kacheln; systematic: ein regelmäßiges Gitter von Kacheln mit zufälligem Anfang.</translation>
    </message>
    <message>
        <source>Standard error of the overall accuracy</source>
        <translation>Standardfehler der Gesamtgenauigkeit</translation>
    </message>
    <message>
        <source>Draw as many tiles as this standard error needs, for example 0.02.</source>
        <translation>So viele Kacheln ziehen, wie dieser Standardfehler verlangt, zum Beispiel 0.02.</translation>
    </message>
    <message>
        <source>Draw so many tiles, of each class in proportion to its area.</source>
        <translation>So viele Kacheln ziehen, von jeder Klasse im Verhältnis zu ihrer Fläche.</translation>
    </message>
    <message>
        <source>Tiles per class</source>
        <translation>Kacheln je Klasse</translation>
    </message>
    <message>
        <source>Draw so many tiles of each class.</source>
        <translation>So viele Kacheln jeder Klasse ziehen.</translation>
    </message>
    <message>
        <source>No tile that shares ground with one of these features is drawn: the training features.</source>
        <translation>Keine Kachel, die sich mit einem dieser Objekte überschneidet, wird gezogen: die Trainingsobjekte.</translation>
    </message>
    <message>
        <source>Field of the strata</source>
        <translation>Feld der Schichten</translation>
    </message>
    <message>
        <source>Field with texts or whole numbers. Empty: the label of the map.</source>
        <translation>Feld mit Texten oder ganzen Zahlen. Leer: die Klasse der Karte.</translation>
    </message>
    <message>
        <source>Least tiles per class</source>
        <translation>Mindestzahl der Kacheln je Klasse</translation>
    </message>
    <message>
        <source>With a standard error or a number of tiles: rare classes get so many.</source>
        <translation>Mit einem Standardfehler oder einer Anzahl der Kacheln: so viele erhalten seltene Klassen.</translation>
    </message>
    <message>
        <source>Expected accuracy</source>
        <translation>Erwartete Genauigkeit</translation>
    </message>
    <message>
        <source>With a standard error: the user's accuracy to expect, from 0.01 to 0.99, for example 0.7 or forest=0.9; several are on lines of their own. Empty: 0.8.</source>
        <translation>Mit einem Standardfehler: die erwartete Nutzergenauigkeit, von 0.01 bis 0.99, zum Beispiel 0.7 oder forest=0.9; mehrere stehen auf eigenen Zeilen. Leer: 0.8.</translation>
    </message>
    <message>
        <source>Tiles of single classes</source>
        <translation>Kacheln einzelner Klassen</translation>
    </message>
    <message>
        <source>Number of tiles of a class, for example pond=80; several are on lines of their own.</source>
        <translation>Anzahl der Kacheln einer Klasse, zum Beispiel pond=80; mehrere stehen auf eigenen Zeilen.</translation>
    </message>
    <message>
        <source>Least distance between the centres of drawn tiles.</source>
        <translation>Kleinster Abstand zwischen den Mittelpunkten gezogener Kacheln.</translation>
    </message>
    <message>
        <source>The same seed draws the same tiles.</source>
        <translation>Dieselbe Saat zieht dieselben Kacheln.</translation>
    </message>
    <message>
        <source>Show the label of the map</source>
        <translation>Klasse der Karte zeigen</translation>
    </message>
    <message>
        <source>It biases whoever labels the tiles.</source>
        <translation>Sie verzerrt das Urteil dessen, der die Kacheln beschriftet.</translation>
    </message>
    <message>
        <source>Replace an existing sample</source>
        <translation>Vorhandene Stichprobe ersetzen</translation>
    </message>
    <message>
        <source>Sample</source>
        <translation>Stichprobe</translation>
    </message>
    <message>
        <source>Table of the centres</source>
        <translation>Tabelle der Mittelpunkte</translation>
    </message>
    <message>
        <source>CSV table with the centres of the tiles in WGS 84.</source>
        <translation>CSV-Tabelle mit den Mittelpunkten der Kacheln in WGS 84.</translation>
    </message>
    <message>
        <source>KML of the outlines</source>
        <translation>KML der Umrisse</translation>
    </message>
    <message>
        <source>Outlines of the tiles, for Google Earth and the field.</source>
        <translation>Umrisse der Kacheln, für Google Earth und das Gelände.</translation>
    </message>
    <message>
        <source>Assess accuracy and areas</source>
        <translation>Genauigkeit und Flächen schätzen</translation>
    </message>
    <message>
        <source>Estimates the accuracy of a map and the area of each class from a layer of 'Sample tiles for reference labels' whose field reference you filled in (Stehman 2014).

Save the edits of the layer first. Tiles without a reference are counted and left out.

The output table has a row per class: the area on the map and the estimated area in hectares on the ground, user's and producer's accuracy, their standard errors (se) and 95 % intervals (low, high). The log shows them too. An empty field means that the sample does not give the number.

With a newer map of the same tiles, accuracy and areas are those of that map.

With a folder, a report and the tables are written too.</source>
        <translation>Schätzt die Genauigkeit einer Karte und die Fläche jeder Klasse aus einem Layer von 'Stichprobe für Referenzklassen ziehen', dessen Feld reference ausgefüllt wurde (Stehman 2014).

Zuerst die Änderungen des Layers speichern. Kacheln ohne Referenz werden gezählt und ausgelassen.

Die Ausgabetabelle hat eine Zeile je Klasse: die Fläche auf der Karte und die geschätzte Fläche am Boden in Hektar, Nutzer- und Herstellergenauigkeit, ihre Standardfehler (se) und 95-%-Intervalle (low, high). Das Protokoll zeigt sie auch. Ein leeres Feld bedeutet, dass die Stichprobe die Zahl nicht hergibt.

Mit einer neueren Karte derselben Kacheln gelten Genauigkeit und Flächen für jene Karte.

Mit einem Verzeichnis werden auch ein Bericht und die Tabellen geschrieben.</translation>
    </message>
    <message>
        <source>Newer map of the same tiles</source>
        <translation>Neuere Karte derselben Kacheln</translation>
    </message>
    <message>
        <source>A layer of 'Classify scene' with the tiles of the map that the sample was drawn from.</source>
        <translation>Ein Layer von 'Szene klassifizieren' mit den Kacheln der Karte, aus der die Stichprobe gezogen wurde.</translation>
    </message>
    <message>
        <source>Answers of the sample page</source>
        <translation>Antworten der Stichprobenseite</translation>
    </message>
    <message>
        <source>CSV files that the page of 'Report' saved, one of each interpreter.</source>
        <translation>CSV-Dateien, die die Seite von 'Bericht' gespeichert hat, eine je Bearbeiter.</translation>
    </message>
    <message>
        <source>Accuracy and areas</source>
        <translation>Genauigkeit und Flächen</translation>
    </message>
    <message>
        <source>The results are written to a folder in it that is named after the sample.</source>
        <translation>Die Ergebnisse werden in ein Verzeichnis darin geschrieben, das nach der Stichprobe benannt ist.</translation>
    </message>
    <message>
        <source>Overall accuracy</source>
        <translation>Gesamtgenauigkeit</translation>
    </message>
    <message>
        <source>Evaluate against polygons</source>
        <translation>Mit Polygonen bewerten</translation>
    </message>
    <message>
        <source>Computes the accuracy of a layer of 'Classify scene' from reference polygons or points of known class. Use reference data that were not used for training.

Polygons chosen by hand give the accuracy of these places. For the accuracy of the whole map and the areas of its classes, use 'Sample tiles for reference labels' and 'Assess accuracy and areas'.

The metrics are shown in the log and written to a folder named after the layer, as a report (map_check.md), JSON and charts.</source>
        <translation>Berechnet die Genauigkeit eines Layers von 'Szene klassifizieren' aus Referenzpolygonen oder -punkten bekannter Klasse. Referenzdaten verwenden, die nicht zum Training dienten.

Von Hand gewählte Polygone ergeben die Genauigkeit an diesen Stellen. Für die Genauigkeit der ganzen Karte und die Flächen ihrer Klassen 'Stichprobe für Referenzklassen ziehen' und 'Genauigkeit und Flächen schätzen' verwenden.

Die Maße stehen im Protokoll und in einem Verzeichnis, das nach dem Layer benannt ist, als Bericht (map_check.md), JSON und Diagramme.</translation>
    </message>
    <message>
        <source>Reference polygons or points</source>
        <translation>Referenzpolygone oder -punkte</translation>
    </message>
    <message>
        <source>Features with the true class.</source>
        <translation>Objekte mit der wahren Klasse.</translation>
    </message>
    <message>
        <source>Field of the reference layer with the class name.</source>
        <translation>Feld des Referenzlayers mit dem Klassennamen.</translation>
    </message>
    <message>
        <source>Fraction of a tile that reference polygons must cover to include the tile.</source>
        <translation>Anteil einer Kachel, den Referenzpolygone bedecken müssen, damit sie zählt.</translation>
    </message>
    <message>
        <source>The results are written to a folder in it.</source>
        <translation>Die Ergebnisse werden in ein Verzeichnis darin geschrieben.</translation>
    </message>
    <message>
        <source>Results</source>
        <translation>Ergebnisse</translation>
    </message>
    <message>
        <source>Accuracy</source>
        <translation>Genauigkeit</translation>
    </message>
    <message>
        <source>Coverage</source>
        <translation>Abdeckung</translation>
    </message>
    <message>
        <source>Kappa</source>
        <translation>Kappa</translation>
    </message>
    <message>
        <source>The output is a temporary file, which QGIS deletes when it is closed. Save it to a file of your own before you edit it: run the algorithm again and select an output file.</source>
        <translation>Die Ausgabe ist eine temporäre Datei, die QGIS beim Beenden löscht. Speichern Sie sie in einer eigenen Datei, bevor Sie sie bearbeiten: den Algorithmus erneut ausführen und eine Ausgabedatei wählen.</translation>
    </message>
    <message>
        <source>Set '{first}' or '{second}'.</source>
        <translation>'{first}' oder '{second}' setzen.</translation>
    </message>
    <message>
        <source>Set '{first}' or '{second}', not both.</source>
        <translation>'{first}' oder '{second}' setzen, nicht beide.</translation>
    </message>
    <message>
        <source>Command of the program:</source>
        <translation>Befehl des Programms:</translation>
    </message>
    <message>
        <source>Some tiles could not be read; run the algorithm again with 'Resume a cancelled run' to retry them.</source>
        <translation>Einige Kacheln konnten nicht gelesen werden; den Algorithmus mit 'Abgebrochenen Lauf fortsetzen' erneut ausführen, um sie noch einmal zu versuchen.</translation>
    </message>
    <message>
        <source>Hint:</source>
        <translation>Hinweis:</translation>
    </message>
    <message>
        <source>bimors failed with exit code {code}; its last line was: {line}</source>
        <translation>bimors ist mit dem Code {code} fehlgeschlagen; die letzte Zeile war: {line}</translation>
    </message>
    <message>
        <source>bimors was ended by the system (signal {number}). Often the memory was not enough: close other programs, or choose a smaller batch size or model.</source>
        <translation>bimors wurde vom System beendet (Signal {number}). Oft reichte der Speicher nicht: andere Programme schließen oder eine kleinere Stapelgröße oder ein kleineres Modell wählen.</translation>
    </message>
    <message>
        <source>the program may be older than this plugin: update bimors</source>
        <translation>das Programm ist vielleicht älter als diese Erweiterung: bimors aktualisieren</translation>
    </message>
    <message>
        <source>{program} cannot be started: {error}</source>
        <translation>{program} kann nicht gestartet werden: {error}</translation>
    </message>
    <message>
        <source>Settings &gt; Options &gt; Processing &gt; Providers &gt; bimors</source>
        <translation>Einstellungen &gt; Optionen &gt; Verarbeitung &gt; Datenanbieter &gt; bimors</translation>
    </message>
    <message>
        <source>The program bimors was not found at {chosen}. Set its path in {where}.</source>
        <translation>Das Programm bimors wurde unter {chosen} nicht gefunden. Seinen Pfad unter {where} einstellen.</translation>
    </message>
    <message>
        <source>The program bimors was not found on the PATH. Install it (pip install bimors-cli) or set its path in {where}.</source>
        <translation>Das Programm bimors wurde nicht im PATH gefunden. Installieren (pip install bimors-cli) oder seinen Pfad unter {where} einstellen.</translation>
    </message>
    <message>
        <source>bimors (raster tile classification)</source>
        <translation>bimors (Klassifikation von Rasterkacheln)</translation>
    </message>
    <message>
        <source>Path of the program bimors, or of its Python environment (empty: search the PATH)</source>
        <translation>Pfad des Programms bimors oder seiner Python-Umgebung (leer: im PATH suchen)</translation>
    </message>
    <message>
        <source>{layer}: cannot load the style in the file: {message}</source>
        <translation>{layer}: der Stil in der Datei kann nicht geladen werden: {message}</translation>
    </message>
    <message>
        <source>{layer} has unsaved edits, which the program cannot read: save them (Layer &gt; Save Layer Edits).</source>
        <translation>{layer} hat ungespeicherte Änderungen, die das Programm nicht lesen kann: speichern (Layer &gt; Layeränderungen speichern).</translation>
    </message>
    <message>
        <source>{layer} has a filter, but the program reads the whole file: remove it (Layer &gt; Filter).</source>
        <translation>{layer} hat einen Filter, aber das Programm liest die ganze Datei: entfernen (Layer &gt; Filter).</translation>
    </message>
    <message>
        <source>{layer} is not a GDAL raster: export it as GeoTIFF first.</source>
        <translation>{layer} ist kein GDAL-Raster: zuerst als GeoTIFF exportieren.</translation>
    </message>
    <message>
        <source>{layer} is not a file layer: select the GeoPackage that bimors wrote.</source>
        <translation>{layer} ist kein Dateilayer: das GeoPackage wählen, das bimors geschrieben hat.</translation>
    </message>
    <message>
        <source>{label}: the layer has no field tile_id: select a layer of bimors.</source>
        <translation>{label}: der Layer hat kein Feld tile_id: einen Layer von bimors wählen.</translation>
    </message>
    <message>
        <source>{label}: {count} features: select some tiles, and check 'Selected features only'.</source>
        <translation>{label}: {count} Objekte: einige Kacheln wählen und 'Nur gewählte Objekte' anhaken.</translation>
    </message>
</context>
</TS>
