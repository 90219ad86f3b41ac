"""One clip: worker threads, the judgement, the stored clip, its picture and the explanation."""
