"""finetune --head auto: adapters that classify by the views of a tile, chosen and fitted in closed form."""
