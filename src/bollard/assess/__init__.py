"""Floor 3: what is wrong, with proof: targets, probes that look, checks that judge, reports that tell."""
