"""Networks split into backbone and head, by name: torchvision's, timm's and the articles' mlp, cnn and rnn."""
