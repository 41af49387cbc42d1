CREATE TABLE bimors_features (layer TEXT, tile_id TEXT, feature BLOB)
CREATE TABLE bimors_predictions (layer TEXT, tile_id TEXT, label TEXT, PRIMARY KEY (layer, tile_id)) WITHOUT ROWID
CREATE TABLE layer_styles (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256), f_geometry_column TEXT(256),
  styleName TEXT(30), styleQML TEXT, styleSLD TEXT, useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
  update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now'))
)
CREATE TABLE "tiles" ( "fid" INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, "geom" POLYGON, "tile_id" TEXT, "scene" TEXT, "row" MEDIUMINT, "col" MEDIUMINT, "label" TEXT, "confidence" REAL, "reason" TEXT, "label_2" TEXT, "confidence_2" REAL, "caption" TEXT, "p_forest" REAL, "p_river" REAL, "p_port" REAL)
