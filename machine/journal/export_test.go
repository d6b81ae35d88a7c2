package journal

// Hardware is the machine that it belongs to.
func (j *Journal) Hardware() string { return j.head.Hardware }
