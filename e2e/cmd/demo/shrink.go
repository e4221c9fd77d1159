package main

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"slices"
)

// shrink writes a PNG again with 256 of its colors: of a dashboard that is a third of the
// size.
func shrink(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("picture: %w", err)
	}
	full, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("picture %s: %w", path, err)
	}
	b := full.Bounds()
	found := map[color.RGBA]int{}
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(full.At(x, y)).(color.RGBA) }
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			found[at(x, y)]++
		}
	}
	all := make([]color.RGBA, 0, len(found))
	for c := range found {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b color.RGBA) int {
		return cmp.Or(cmp.Compare(found[b], found[a]), cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
	})
	palette := chosenColors(all)
	index := make(map[color.RGBA]uint8, len(all))
	for _, c := range all {
		index[c] = uint8(palette.Index(c)) //nolint:gosec // at most 256
	}
	small := image.NewPaletted(b, palette)
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			small.SetColorIndex(x, y, index[at(x, y)])
		}
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, small); err != nil {
		return fmt.Errorf("picture %s: %w", path, err)
	}
	return os.WriteFile(path, out.Bytes(), 0o644) //nolint:gosec // a picture of the documentation
}

// chosenColors returns up to 256 of the colors, which are sorted by how often they are
// there: the most frequent ones, and then those that differ most from the ones before. A
// line in a legend is small, and must not change its color.
func chosenColors(all []color.RGBA) color.Palette {
	const frequent, most = 128, 256
	var palette color.Palette
	far := make([]int, len(all)) // from the nearest color of the palette
	for i := range far {
		far[i] = 1 << 30
	}
	for len(palette) < min(most, len(all)) {
		next := len(palette)
		if next >= frequent {
			next = slices.Index(far, slices.Max(far))
		}
		palette = append(palette, all[next])
		for i, c := range all {
			far[i] = min(far[i], distance(c, all[next]))
		}
	}
	return palette
}

// distance returns the square of the distance of two colors, without their alpha.
func distance(a, b color.RGBA) int {
	square := func(x, y uint8) int { d := int(x) - int(y); return d * d }
	return square(a.R, b.R) + square(a.G, b.G) + square(a.B, b.B)
}
