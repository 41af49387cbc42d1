"""What a scene is and how it would be read: the facts behind `bimors info`."""
