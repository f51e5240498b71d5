"""HTTP: completions and rankings over engines, with bounds on everything a stranger can send."""
