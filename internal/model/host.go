package model

// Host is what all apps of the host share.
type Host struct {
	Memory, CPU *float64 // ratios
	Total       *float64 // bytes of memory
}

// append sets each value that o has.
func (h *Host) append(o Host) {
	if o.Memory != nil {
		h.Memory = o.Memory
	}
	if o.CPU != nil {
		h.CPU = o.CPU
	}
	if o.Total != nil {
		h.Total = o.Total
	}
}

// Disk is how full one file system is.
type Disk struct {
	Mountpoint string
	Usage      float64 // ratio
}

// Pressure is the share of the last minute in which tasks waited for a resource.
type Pressure struct {
	Resource string // "cpu", "memory", "io"
	Kind     string // "some", "full"
	Ratio    float64
	Latest   float64 // of the last 10 seconds
}
