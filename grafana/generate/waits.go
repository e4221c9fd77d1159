package main

// byWait sets the color of each kind of wait, the same on all dashboards: there are more
// kinds than distinct colors in the palette.
func (p *panel) byWait() *panel {
	for _, kind := range [][2]string{
		{"mysql", "orange"}, {"redis", "red"}, {"upstream", "purple"}, {"client", "blue"}, {"sleep", "light-blue"}, {"disk", "dark-blue"},
		{"cpu", "green"}, {"cpu_queue", "dark-yellow"}, {"gil", "dark-purple"}, {"gc", "light-orange"}, {"lock", "dark-red"}, {"throttled", "dark-orange"},
		{"child", "dark-green"}, {"loop", "light-purple"}, {"other", "text"}, {"unknown", "text"},
	} {
		p.painted(kind[0], kind[1])
	}
	return p
}
