"""Plans a tournament of candidates, its rungs, and the candidates that continue after each rung. Does not import torch.

A tournament is successive halving (Jamieson and Talwalkar 2016; the inner loop of Hyperband, Li et al. 2018). All
candidates train for a few passes, the best third continues, and so on. A candidate resumes from its last checkpoint, so
no pass is repeated.
"""
