// Intake: skeleton, replaced by its first real file.
