"""A sample day: a short recorded story in audit events, Falco alerts and flow records, played into a running agent.

For whoever tries Vedette without a cluster. docs/sample-day.md tells the story and what an analyst should find;
tools/sample_day.py makes the data. The player is an ordinary client of the agent's HTTP ports and knows no other way
in; it ends when the day was played, and the agent goes on.
"""
