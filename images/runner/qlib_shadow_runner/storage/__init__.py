"""What touches the disk. Imports nothing of the runner but errors, texts and crash points.

relative_names     names of files that another program wrote, before they are joined to a folder
untrusted          open what another run may have written
untrusted_tables   read Parquet files that another run may have written, within limits
files              write a file whole or not at all, read JSON
durability         bring a folder's files to the disk
removal            remove a folder so that half of it is never found
listed_files       files with their hashes
held               which process holds a file or folder
lock               one builder at a time; the others wait
mounts             the filesystem that a folder is on
volume             `/data`, wherever it is mounted
"""
