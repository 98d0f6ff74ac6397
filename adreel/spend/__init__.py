"""Money: what clips cost before they are bought."""
