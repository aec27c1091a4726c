"""The workbench for rules: what the commands below `vedette rules` read and measure. They decide nothing themselves."""
