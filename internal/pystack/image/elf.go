package image

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
)

// Limits of what is read of a file. The largest Python with debugging symbols
// stays below a fourth of each.
const (
	maxSections = 512
	maxSegments = 128
	maxTable    = 16 << 20 // bytes of a table of symbols or of their names
	maxHeaders  = 4 << 20  // bytes that are read before the tables
)

// File is what the file of an interpreter contains. Addresses are those of the file; the
// process adds its base to them.
type File struct {
	Fixed     bool   // the addresses hold as they are (ET_EXEC)
	FirstPage uint64 // page of the first loaded segment

	Runtime  uint64 // _PyRuntime; 0: the file holds no interpreter
	Version  uint64 // Py_Version (3.11 and newer); 0: it has none
	CodeType uint64 // PyCode_Type; 0: it does not export it

	TraceRefs    bool // built with Py_TRACE_REFS
	FreeThreaded bool // built without the global lock
	PyPy         bool
}

var (
	errBounds = errors.New("the executable file is not as an ELF file is")
	errReads  = errors.New("the executable file has too many headers")
)

// parse returns what is looked for in an ELF file: the addresses of symbols and sections, 0
// for those that it does not have; .symtab is read only if .dynsym lacks _PyRuntime. An
// [*Unsupported]: the file is of another architecture or of 32 bits. errBounds: it is no
// valid ELF file, its headers cannot be read, or it is larger than any interpreter's.
func parse(r io.ReaderAt) (File, error) {
	var head [64]byte
	if _, err := r.ReadAt(head[:], 0); err != nil {
		if errors.Is(err, io.EOF) {
			return File{}, errBounds
		}
		return File{}, err
	}
	switch {
	case string(head[:4]) != elf.ELFMAG:
		return File{}, errBounds
	case elf.Class(head[elf.EI_CLASS]) == elf.ELFCLASS32:
		return File{}, &Unsupported{Bits}
	case elf.Data(head[elf.EI_DATA]) != elf.ELFDATA2LSB || elf.Machine(binary.LittleEndian.Uint16(head[18:])) != elf.EM_X86_64:
		return File{}, &Unsupported{Architecture}
	}
	segments, sections := binary.LittleEndian.Uint16(head[56:]), binary.LittleEndian.Uint16(head[60:])
	if segments == 0 || segments > maxSegments || sections > maxSections || sections == 0 && binary.LittleEndian.Uint64(head[40:]) != 0 {
		return File{}, errBounds
	}
	f, err := elf.NewFile(&metered{r: r, left: maxHeaders})
	if err != nil {
		return File{}, errBounds
	}
	found := File{Fixed: f.Type == elf.ET_EXEC}
	if !firstPage(f, &found.FirstPage) {
		return File{}, errBounds
	}
	for _, kind := range []elf.SectionType{elf.SHT_DYNSYM, elf.SHT_SYMTAB} {
		if found.Runtime != 0 {
			break
		}
		if err := symbols(r, f.Sections, kind, &found); err != nil {
			return File{}, err
		}
	}
	return found, nil
}

// metered reads at most so many bytes in all.
type metered struct {
	r    io.ReaderAt
	left int
}

// ReadAt implements [io.ReaderAt]; errReads once more than the bytes that were left have
// been asked for.
func (m *metered) ReadAt(b []byte, at int64) (int, error) {
	if m.left -= len(b); m.left < 0 {
		return 0, errReads
	}
	return m.r.ReadAt(b, at)
}

// firstPage sets the page of the first segment that is loaded; false if none is.
func firstPage(f *elf.File, into *uint64) bool {
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD {
			*into = p.Vaddr &^ 0xfff
			return true
		}
	}
	return false
}

// symbols sets the addresses of the known symbols from the symbol tables of a kind, without
// a table whose names are in no section. errBounds: a table or its names are too large, not
// in the file or of another type. It reads the tables itself: [elf.File.Symbols] allocates
// an object per symbol.
func symbols(r io.ReaderAt, sections []*elf.Section, kind elf.SectionType, found *File) error {
	for _, s := range sections {
		if s.Type != kind || s.Link >= uint32(len(sections)) {
			continue
		}
		names := sections[s.Link]
		if s.FileSize > maxTable || names.FileSize > maxTable || names.Type != elf.SHT_STRTAB {
			return errBounds
		}
		text, err := section(r, names.Offset, names.FileSize)
		if err != nil {
			return err
		}
		if err := scan(r, s, text, found); err != nil {
			return err
		}
	}
	return nil
}

// scan sets in found the known symbols of a table.
func scan(r io.ReaderAt, s *elf.Section, names []byte, found *File) error {
	const size = elf.Sym64Size
	for at := uint64(0); at+size <= s.FileSize; {
		block, err := section(r, s.Offset+at, min(s.FileSize-at, 1<<11*size))
		if err != nil {
			return err
		}
		for ; len(block) >= size; block, at = block[size:], at+size {
			found.symbol(name(names, binary.LittleEndian.Uint32(block)), binary.LittleEndian.Uint64(block[8:]))
		}
	}
	return nil
}

// section returns size bytes at an offset. errBounds: the file does not have them.
func section(r io.ReaderAt, offset, size uint64) ([]byte, error) {
	if offset > 1<<40 {
		return nil, errBounds
	}
	b := make([]byte, size)
	if _, err := r.ReadAt(b, int64(offset)); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errBounds
		}
		return nil, err
	}
	return b, nil
}

// name returns the name at an offset of a table; nil if there is none of at most 63 bytes:
// none that is looked for is longer.
func name(text []byte, offset uint32) []byte {
	if uint64(offset) >= uint64(len(text)) {
		return nil
	}
	text = text[offset:min(uint64(offset)+64, uint64(len(text)))]
	end := bytes.IndexByte(text, 0)
	if end < 0 {
		return nil
	}
	return text[:end]
}

// symbol sets the address of one symbol. It ignores a symbol that is not defined in the
// file, which has no value.
func (f *File) symbol(name []byte, value uint64) {
	if len(name) < 9 || value == 0 {
		return
	}
	switch string(name) {
	case "_PyRuntime":
		f.Runtime = value
	case "Py_Version":
		f.Version = value
	case "PyCode_Type":
		f.CodeType = value
	case "PyModule_Create2TraceRefs":
		f.TraceRefs = true
	case "_Py_MergeZeroLocalRefcount":
		f.FreeThreaded = true
	case "pypy_execute_source", "pypy_main_startup":
		f.PyPy = true
	}
}
