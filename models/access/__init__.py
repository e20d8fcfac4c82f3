"""Who may do what: staff accounts, the gate register and single-use request ids."""
