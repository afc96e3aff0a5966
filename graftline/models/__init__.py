"""Networks with a backbone and a head: torchvision's and timm's models and the small networks mlp, cnn and rnn."""
