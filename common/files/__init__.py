"""Bytes from outside, checked before they are used: data sets (`idx`, `cifar`, `finding`, `download`), pictures
(`folder`, `pictures`), weights (`weights`, `pickles`), `names` that are no text. And what writing takes: files that
appear whole or not at all (`atomic`), `locks`, a `home` to write to."""
