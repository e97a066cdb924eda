package hosttest

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/sdk/vectors"
)

// Golden tests the SDK of a conformance guest without a host. It writes the golden frames into the guest's memory, byte
// for byte. It compares the fields that the guest reads, and the results that it writes, with the expected ones.
func Golden(ctx context.Context, wasm []byte) (*Report, error) {
	rt := wazero.NewRuntime(ctx)
	defer rt.Close(ctx)
	compiled, err := rt.CompileModule(ctx, wasm)
	if err != nil {
		return nil, err
	}
	g := &golden{runtime: rt, compiled: compiled}
	if err := g.link(ctx); err != nil {
		return nil, err
	}
	r := new(Report)
	for _, f := range vectors.Frames() {
		r.check("golden frame", f.Name, g.reads(ctx, &f))
	}
	for _, v := range vectors.Results() {
		r.check("golden result", v.Name, g.writes(ctx, &v))
		if v.Verdict.Answer == "hold" || v.Verdict.Answer == "ask" {
			r.check("golden result", v.Name+", by a host of minor 0: a denial", g.deniesForMinor0(ctx, &v))
		}
	}
	return r, nil
}

// golden is a guest without a host.
type golden struct {
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	script   string
}

// link provides the guest's imports. config_get returns the script; the other functions fail.
func (g *golden) link(ctx context.Context) error {
	wasi_snapshot_preview1.MustInstantiate(ctx, g.runtime)
	b := g.runtime.NewHostModuleBuilder(abi.ImportModule)
	for _, f := range g.compiled.ImportedFunctions() {
		module, name, _ := f.Import()
		if module != abi.ImportModule {
			continue
		}
		call := func(_ context.Context, _ api.Module, stack []uint64) { stack[0] = uint64(uint32(0xffff_fffa)) } // Unavailable
		switch {
		case name == abi.ImportConfigGet:
			call = g.configGet
		case len(f.ResultTypes()) == 0:
			call = func(context.Context, api.Module, []uint64) {}
		}
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(call), f.ParamTypes(), f.ResultTypes()).Export(name)
	}
	_, err := b.Instantiate(ctx)
	return err
}

func (g *golden) configGet(_ context.Context, m api.Module, stack []uint64) {
	key, _ := m.Memory().Read(uint32(stack[0]), uint32(stack[1]))
	value := `"` + g.script + `"`
	switch {
	case string(key) != "do":
		stack[0] = uint64(uint32(0xffff_ffff)) // Absent
	case uint32(len(value)) <= uint32(stack[3]):
		m.Memory().WriteString(uint32(stack[2]), value)
		fallthrough
	default:
		stack[0] = uint64(len(value))
	}
}

// call calls an export of a new instance with a frame. It returns the result, the address of the frame and the memory.
func (g *golden) call(ctx context.Context, script, export string, frame []byte) (code int32, at uint32, memory []byte, err error) {
	g.script = script
	m, err := g.runtime.InstantiateModule(ctx, g.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize").WithSysWalltime().WithSysNanotime())
	if err != nil {
		return 0, 0, nil, err
	}
	defer m.Close(ctx)
	alloc, fn := m.ExportedFunction(abi.ExportAlloc), m.ExportedFunction(export)
	if alloc == nil || fn == nil {
		return 0, 0, nil, fmt.Errorf("it does not export %s and %s", abi.ExportAlloc, export)
	}
	p, err := alloc.Call(ctx, abi.ExchangeSize)
	if err != nil {
		return 0, 0, nil, err
	}
	at = uint32(p[0])
	if init := m.ExportedFunction(abi.ExportInit); init != nil {
		config := fmt.Appendf(nil, `{"do":"%s"}`, script)
		m.Memory().Write(at, config)
		if got, err := init.Call(ctx, abi.Minor, uint64(at), uint64(len(config))); err != nil || got[0] != 0 {
			return 0, 0, nil, fmt.Errorf("%s: %v %w", abi.ExportInit, got, err)
		}
	}
	if !m.Memory().Write(at, frame) {
		return 0, 0, nil, errors.New("the exchange buffer is not in its memory")
	}
	result, err := fn.Call(ctx, uint64(at))
	if err != nil {
		return 0, 0, nil, err
	}
	memory, _ = m.Memory().Read(0, m.Memory().Size())
	return int32(result[0]), at, slices.Clone(memory), nil
}

// reads checks the report of the guest on a frame.
func (g *golden) reads(ctx context.Context, f *vectors.Frame) error {
	frame, err := hex.DecodeString(f.Hex)
	if err != nil {
		return err
	}
	script, export := "tell", abi.Hook(f.Number).Export()
	if f.Answer != nil {
		script, export = fmt.Sprintf("answered %d;tell", f.Answer.Number), abi.ExportAnswer
	}
	code, at, memory, err := g.call(ctx, script, export, frame)
	if err != nil {
		return err
	}
	a, receivers, err := decode(code, at, memory)
	if err != nil {
		return err
	}
	if len(f.Receivers) > 0 {
		if code != abi.PerReceiver { // the answer is for all
			for range f.Receivers {
				receivers = append(receivers, a)
			}
		}
		for i := range f.Receivers {
			if err := compareLines(reportOf(f.Number, &receivers[i]), goldenLines(f, &f.Receivers[i])); err != nil {
				return fmt.Errorf("receiver %d: %w", i, err)
			}
		}
		return nil
	}
	return compareLines(reportOf(f.Number, &a), goldenLines(f, f.Connection))
}

// reportOf returns the report in a verdict.
func reportOf(hook int, v *vectors.Verdict) string {
	switch abi.Hook(hook) {
	case abi.OnSayReceive, abi.Say:
		if v.Message == nil {
			return ""
		}
		return *v.Message
	case abi.Action:
		return reportInReply(v.Reply)
	}
	return v.Reason
}

func compareLines(got string, want []string) error {
	if w := strings.Join(want, "\n"); got != w {
		return fmt.Errorf("it reports %q, want %q", got, w)
	}
	return nil
}

func goldenLines(f *vectors.Frame, c *vectors.Connection) []string {
	e := f.Event.Fields
	l := lines{"hook=" + fmt.Sprint(f.Number)}
	l.field("room", e["room"]).field("tenant", e["tenant"]).field("from", e["from"]).field("message", e["message"])
	if f.JSON {
		l.field("json", "1")
	}
	l.field("context", e["context"]).field("cause", e["cause"]).field("action", e["action"]).field("params", e["params"])
	l.field("messageId", e["messageId"]).field("edits", e["edits"])
	l.number("sentAt", f.Event.SentAt).number("sequence", f.Event.Sequence)
	if c == nil {
		return l
	}
	for _, name := range []string{"id", "fingerprint", "user", "transport", "remoteIP", "tenant", "locale"} {
		l.field("c."+name, c.Fields[name])
	}
	l.number("c.connectedAt", c.ConnectedAt).number("c.joinedAt", c.JoinedAt)
	for _, p := range c.Properties {
		l.field("c."+p.Name, p.Value)
	}
	if a := f.Answer; a != nil {
		l.field("a.name", a.Fields["name"]).number("a.status", a.Status).number("a.number", a.Number)
		l.field("a.json", a.Fields["body"]).field("a.state", a.Fields["state"])
	}
	return l
}

// lines is the report of the operation tell.
type lines []string

func (l *lines) field(name, value string) *lines {
	if value != "" {
		*l = append(*l, name+"="+value)
	}
	return l
}

func (l *lines) number(name string, n uint64) *lines {
	if n != 0 {
		*l = append(*l, fmt.Sprintf("%s=%d", name, n))
	}
	return l
}

// writes makes the guest answer with a result, and decodes the result that it has written.
func (g *golden) writes(ctx context.Context, r *vectors.Result) error {
	frame, err := hex.DecodeString(r.Frame)
	if err != nil {
		return err
	}
	script := scriptOf(&r.Verdict)
	if r.Verdict.Answer == "perReceiver" {
		var parts []string
		for i := range r.Receivers {
			parts = append(parts, "id "+text(string(rune('a'+i)))+";"+scriptOf(&r.Receivers[i]))
		}
		script = strings.Join(parts, ";")
	}
	code, at, memory, err := g.call(ctx, script, abi.HookNamed(r.Hook).Export(), frame)
	if err != nil {
		return err
	}
	a, receivers, err := decode(code, at, memory)
	if err != nil {
		return err
	}
	if code == r.Returns && code != abi.PerReceiver {
		return same(a, r.Verdict)
	}
	// At say, a guest may answer once for all receivers, or for each of them.
	if len(r.Receivers) == 0 {
		return fmt.Errorf("it returned %d, not %d", code, r.Returns)
	}
	for i, want := range r.Receivers {
		got := a
		if code == abi.PerReceiver {
			got = receivers[i]
		}
		if err := same(got, want); err != nil {
			return fmt.Errorf("receiver %d: %w", i, err)
		}
	}
	return nil
}

// deniesForMinor0 checks that a guest that holds a message or asks returns a denial to a host of minor 0, which knows neither.
func (g *golden) deniesForMinor0(ctx context.Context, r *vectors.Result) error {
	frame, err := hex.DecodeString(r.Frame)
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint16(frame[abi.FrameMinor:], 0)
	code, at, memory, err := g.call(ctx, scriptOf(&r.Verdict), abi.HookNamed(r.Hook).Export(), frame)
	if err != nil {
		return err
	}
	a, _, err := decode(code, at, memory)
	if err != nil {
		return err
	}
	return same(a, vectors.Verdict{Answer: "deny", Reason: r.Verdict.Reason})
}

func same(got, want vectors.Verdict) error {
	if !reflect.DeepEqual(got, want) {
		return fmt.Errorf("it answers %s, want %s", describe(got), describe(want))
	}
	return nil
}

func describe(v vectors.Verdict) string {
	message := "nil"
	if v.Message != nil {
		message = fmt.Sprintf("%q", *v.Message)
	}
	v.Message = nil
	return fmt.Sprintf("%+v with message %s", v, message)
}

// scriptOf returns the script that makes a guest answer with v.
func scriptOf(v *vectors.Verdict) string {
	switch v.Answer {
	case "allow":
		if v.Reply != "" {
			return "reply " + text(v.Reply)
		}
		return "allow"
	case "allowEnd":
		return "end"
	case "drop":
		return "drop"
	case "hold":
		return fmt.Sprintf("hold %d %s", v.TTL, text(v.Reason))
	case "ask":
		return fmt.Sprintf("ask %s %s %s", text(v.Ask), text(v.Body), text(v.State))
	case "deny":
		return fmt.Sprintf("deny %d %s", v.Code, text(v.Reason))
	}
	var ops []string
	if v.Message != nil {
		ops = append(ops, map[uint32]string{abi.KindText: "text ", abi.KindJSON: "json "}[v.Kind]+text(*v.Message))
	}
	for _, o := range [][2]string{{"extra", v.Extra}, {"room", v.Room}, {"from", v.From}} {
		if o[1] != "" {
			ops = append(ops, o[0]+" "+text(o[1]))
		}
	}
	if v.SentAt != 0 {
		ops = append(ops, fmt.Sprint("sentAt ", v.SentAt))
	}
	return strings.Join(ops, ";")
}

// text encodes a text for a script.
func text(s string) string { return hex.EncodeToString([]byte(s)) }

var answers = map[int32]string{abi.Allow: "allow", abi.Deny: "deny", abi.Rewritten: "rewrite",
	abi.PerReceiver: "perReceiver", abi.AllowEnd: "allowEnd", abi.Drop: "drop", abi.Hold: "hold", abi.Ask: "ask"}

// decode decodes the result of a guest like the host.
func decode(code int32, at uint32, memory []byte) (v vectors.Verdict, receivers []vectors.Verdict, err error) {
	le, frame := binary.LittleEndian, memory[at:]
	read := func(record []byte, slot int) string {
		b, ok := abi.SpanAt(record, slot).In(memory, len(memory))
		if !ok {
			err = fmt.Errorf("slot %d: the pointer or length is out of bounds, or the text is not UTF-8", slot)
		}
		return string(b)
	}
	message := func(v *vectors.Verdict, record []byte, slot, kind, extra int) {
		v.Kind, v.Extra = le.Uint32(record[kind:]), read(record, extra)
		if text := read(record, slot); v.Kind != abi.KindNone {
			v.Message = &text
		}
	}
	v.Answer = answers[code]
	switch code {
	case abi.Allow, abi.AllowEnd:
		v.Reply = read(frame, abi.ResultReply)
	case abi.Deny:
		v.Code, v.Reason = le.Uint32(frame[abi.ResultCode:]), read(frame, abi.ResultReason)
	case abi.Rewritten:
		message(&v, frame, abi.ResultMessage, abi.ResultMessageKind, abi.ResultExtra)
		v.Room, v.From, v.SentAt = read(frame, abi.ResultRoom), read(frame, abi.ResultFrom), int64(le.Uint64(frame[abi.ResultSentAt:]))
	case abi.PerReceiver:
		bytes := frame[le.Uint32(frame[abi.FrameVerdicts:]):][:le.Uint32(frame[abi.FrameReceivers:])]
		table, n := le.Uint32(frame[abi.ResultVariants:]), le.Uint32(frame[abi.ResultVariantCount:])
		for i, b := range bytes {
			r := vectors.Verdict{Answer: "allow"}
			switch k := uint32(b) - abi.VerdictVariant; {
			case b == abi.VerdictDrop:
				r.Answer = "drop"
			case b >= abi.VerdictVariant && k >= n:
				return v, nil, fmt.Errorf("receiver %d has variant %d of %d", i, k, n)
			case b >= abi.VerdictVariant:
				r.Answer = "rewrite"
				message(&r, memory[table+k*abi.VariantSize:], abi.VariantMessage, abi.VariantKind, abi.VariantExtra)
			}
			receivers = append(receivers, r)
		}
	case abi.Hold:
		v.Reason, v.TTL = read(frame, abi.ResultReason), int64(le.Uint64(frame[abi.ResultTTL:]))
	case abi.Ask:
		v.Ask, v.Body, v.State = read(frame, abi.ResultAsk), read(frame, abi.ResultAskBody), read(frame, abi.ResultState)
	case abi.Drop:
	default:
		err = fmt.Errorf("it returned %d", code)
	}
	return v, receivers, err
}
