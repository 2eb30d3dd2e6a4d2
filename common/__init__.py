"""What every GAN of this repository shares: layers, data, the training step, the loop, the commands."""
