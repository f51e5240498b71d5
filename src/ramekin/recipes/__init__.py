"""The edge: configuration, and the recipes behind the verbs that join all units."""
