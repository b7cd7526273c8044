// Terminal: skeleton, replaced by its first real file.
