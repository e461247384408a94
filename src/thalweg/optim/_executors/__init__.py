"""How formulas are executed; no formula lives here."""
