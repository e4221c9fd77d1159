package config

// VariableNames lists every environment variable that is read.
func VariableNames() []string {
	c := Default()
	var names []string
	for _, v := range variables(&c) {
		names = append(names, v.name)
	}
	return names
}
