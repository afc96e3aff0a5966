"""The tournament: which candidates race, in which rungs, and what became of each. Imports no torch.

Successive halving (Jamieson and Talwalkar 2016; the inner loop of Hyperband, Li et al. 2018): all candidates train a
little, the best third of them on, and so forth; nothing is trained twice, for each goes on where it paused.
"""
