package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/charmbracelet/lipgloss"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// runner is a command that runs.
type runner interface {
	Run(ctx context.Context, t terminal) error
}

// validator is a command that checks its flags and arguments before it runs.
type validator interface{ Validate() error }

// newCommand returns the cobra command of c, a pointer to a struct. Tags of its fields say what they are:
//
//   - cmd:"" is a subcommand, arg:"" an argument, and each other exported field a flag. Fields of embedded structs count as fields of c.
//   - name is the name; without it, the name of the field in lower case with hyphens.
//   - help is the description. In it, ${NAME} is replaced by vars[NAME], and ${enum} by the values of enum.
//   - default is the value of a flag or an argument that is not given. An argument without default is required.
//     The last argument may be a []string: one value or more.
//   - short is the letter of a flag, env the environment variable that sets it, placeholder the name of its value in help texts,
//     and enum the list of its values, separated by commas. required:"" makes a flag required. Of all flags with the same xor at
//     most one may be given; if they are required, exactly one.
//
// A command without subcommands is a [runner]; run runs it. c keeps the values of a command line, so use it for one
// command line only.
// Invalid tags panic.
func newCommand(name, about string, c any, vars map[string]string, run func(context.Context, runner) error) *cobra.Command {
	b := &builder{cmd: &cobra.Command{Use: name, Short: about}, run: run, vars: vars, groups: map[string][]string{}}
	b.add(reflect.ValueOf(c).Elem())
	for _, a := range b.arguments {
		b.cmd.Use += " " + a.usage()
	}
	b.cmd.Flags().BoolP("help", "h", false, "Show this help.")
	b.cmd.SetUsageFunc(b.printUsage)
	for _, group := range b.groups {
		b.cmd.MarkFlagsMutuallyExclusive(group...)
	}
	for _, group := range b.oneOf {
		b.cmd.MarkFlagsOneRequired(b.groups[group]...)
	}
	r, ok := c.(runner)
	if !ok {
		b.cmd.Args = unknownCommand
		b.cmd.RunE = func(*cobra.Command, []string) error { return b.incomplete() }
		return b.cmd
	}
	b.cmd.Args = b.setArguments
	b.cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if v, ok := c.(validator); ok {
			if err := v.Validate(); err != nil {
				return err
			}
		}
		return run(cmd.Context(), r)
	}
	return b.cmd
}

// builder makes one cobra command.
type builder struct {
	cmd       *cobra.Command
	commands  []*cobra.Command // in the order of the fields
	run       func(context.Context, runner) error
	vars      map[string]string
	arguments []argument
	groups    map[string][]string // names of flags by xor
	oneOf     []string            // keys of groups of which one flag is required
}

type argument struct {
	name, help string
	optional   bool
	value      reflect.Value
}

// usage returns the argument as the usage line shows it.
func (a argument) usage() string {
	name := strings.ToUpper(a.name)
	switch {
	case a.value.Kind() == reflect.Slice:
		return name + "..."
	case !a.optional:
		return name
	}
	return "[" + strings.ToUpper(a.name) + "]"
}

func (b *builder) add(v reflect.Value) {
	for i := range v.NumField() {
		f, value := v.Type().Field(i), v.Field(i)
		name := cmp.Or(f.Tag.Get("name"), hyphenated(f.Name))
		_, isCommand := f.Tag.Lookup("cmd")
		_, isArgument := f.Tag.Lookup("arg")
		switch {
		case f.Anonymous:
			b.add(value)
		case !f.IsExported():
		case isCommand:
			b.commands = append(b.commands, newCommand(name, b.help(f), value.Addr().Interface(), b.vars, b.run))
			b.cmd.AddCommand(b.commands[len(b.commands)-1])
		case isArgument:
			def, optional := f.Tag.Lookup("default")
			if value.Kind() == reflect.String {
				value.SetString(def)
			}
			b.arguments = append(b.arguments, argument{name, b.help(f), optional, value})
		default:
			b.addFlag(f, name, value)
		}
	}
}

// hyphenated returns the name of a field as a name on the command line: KeyID becomes key-id.
func hyphenated(field string) string {
	var out strings.Builder
	for i, r := range field {
		upper := r >= 'A' && r <= 'Z'
		if upper && i > 0 && field[i-1] >= 'a' {
			out.WriteByte('-')
		}
		out.WriteString(strings.ToLower(string(r)))
	}
	return out.String()
}

// help returns the description of a field.
func (b *builder) help(f reflect.StructField) string {
	return os.Expand(f.Tag.Get("help"), func(name string) string {
		if name == "enum" {
			return strings.ReplaceAll(f.Tag.Get("enum"), ",", ", ")
		}
		text, ok := b.vars[name]
		if !ok {
			panic(fmt.Sprintf("the help of %s has the unknown variable %s", f.Name, name))
		}
		return text
	})
}

func (b *builder) addFlag(f reflect.StructField, name string, value reflect.Value) {
	help, env := b.help(f), f.Tag.Get("env")
	if env != "" {
		help += " [$" + env + "]"
	}
	values := strings.FieldsFunc(f.Tag.Get("enum"), func(r rune) bool { return r == ',' })
	flag := &pflag.Flag{Name: name, Shorthand: f.Tag.Get("short"), Usage: help}
	flag.Value = &flagValue{value.Addr().Interface(), placeholder(f), values}
	if value.Kind() == reflect.Bool {
		flag.NoOptDefVal = "true"
	}
	if def := f.Tag.Get("default"); def != "" {
		if err := flag.Value.Set(def); err != nil {
			panic(fmt.Sprintf("the default of %s: %v", f.Name, err))
		}
		if !value.IsZero() {
			flag.DefValue = def
		}
	}
	b.cmd.Flags().AddFlag(flag)
	if len(values) > 0 {
		_ = b.cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	_, required := f.Tag.Lookup("required")
	if group := f.Tag.Get("xor"); group != "" {
		b.groups[group] = append(b.groups[group], name)
		if required && len(b.groups[group]) == 1 {
			b.oneOf = append(b.oneOf, group)
		}
	} else if required {
		_ = b.cmd.MarkFlagRequired(name)
	}
	if env != "" {
		b.fromEnvironment(flag, env)
	}
}

// fromEnvironment sets a flag that is not on the command line.
func (b *builder) fromEnvironment(flag *pflag.Flag, env string) {
	next := b.cmd.PreRunE
	b.cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if text, ok := os.LookupEnv(env); ok && !flag.Changed {
			if err := flag.Value.Set(text); err != nil {
				return fmt.Errorf("%s=%s: %w", env, text, err)
			}
		}
		if next != nil {
			return next(cmd, args)
		}
		return nil
	}
}

func placeholder(f reflect.StructField) string {
	if name := f.Tag.Get("placeholder"); name != "" {
		return name
	}
	switch f.Type {
	case reflect.TypeFor[bool]():
		return "bool" // pflag shows no value of such a flag
	case reflect.TypeFor[time.Duration]():
		return "DURATION"
	case reflect.TypeFor[string](), reflect.TypeFor[[]string]():
		return "TEXT"
	}
	return "N"
}

// setArguments sets the arguments of the command line.
func (b *builder) setArguments(_ *cobra.Command, args []string) error {
	for i, a := range b.arguments {
		switch {
		case i < len(args) && a.value.Kind() == reflect.Slice:
			a.value.Set(reflect.ValueOf(args[i:]))
			return nil
		case i < len(args):
			a.value.SetString(args[i])
		case !a.optional:
			return fmt.Errorf("%s is missing: %s", strings.ToUpper(a.name), a.help)
		}
	}
	if len(args) > len(b.arguments) {
		return fmt.Errorf("unexpected argument %s", args[len(b.arguments)])
	}
	return nil
}

// unknownCommand refuses arguments of a command that has subcommands.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	advice := ""
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		advice = "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return fmt.Errorf("unknown command %q of %s%s", args[0], cmd.CommandPath(), advice)
}

func (b *builder) incomplete() error {
	names := make([]string, len(b.commands))
	for i, c := range b.commands {
		names[i] = c.Name()
	}
	return fmt.Errorf("%q needs a command: %s", b.cmd.CommandPath(), strings.Join(names, ", "))
}

// printUsage prints how to use a command: arguments, commands and flags with their defaults.
func (b *builder) printUsage(cmd *cobra.Command) error {
	commands, arguments := cmd.Commands(), []argument(nil)
	if cmd == b.cmd {
		commands, arguments = b.commands, b.arguments
		for _, c := range cmd.Commands() { // those that cobra adds
			if !slices.Contains(commands, c) {
				commands = append(slices.Clip(commands), c)
			}
		}
	}
	w := cmd.OutOrStderr()
	fmt.Fprintf(w, "Usage: %s", cmd.UseLine())
	if len(commands) > 0 {
		fmt.Fprint(w, " COMMAND")
	}
	fmt.Fprintln(w)
	lines := [][2]string{}
	for _, a := range arguments {
		lines = append(lines, [2]string{strings.ToUpper(a.name), a.help})
	}
	width := widthOf(w)
	printLines(w, "Arguments", lines, width)
	lines = nil
	for _, c := range commands {
		if c.IsAvailableCommand() {
			lines = append(lines, [2]string{c.Name(), c.Short})
		}
	}
	printLines(w, "Commands", lines, width)
	_, err := fmt.Fprintf(w, "\nFlags:\n%s", cmd.Flags().FlagUsagesWrapped(width))
	return err
}

// widthOf returns the width for lines of help.
func widthOf(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			return max(60, min(width, 120))
		}
	}
	return 100
}

// printLines prints names with descriptions in two columns, as pflag prints flags.
func printLines(w io.Writer, title string, lines [][2]string, width int) {
	if len(lines) == 0 {
		return
	}
	column := 0
	for _, l := range lines {
		column = max(column, len(l[0])+4)
	}
	fmt.Fprintf(w, "\n%s:\n", title)
	for _, l := range lines {
		text := lipgloss.NewStyle().Width(width - column).Render(l[1])
		for i, line := range strings.Split(text, "\n") {
			name := l[0]
			if i > 0 {
				name = ""
			}
			fmt.Fprintf(w, "  %-*s%s\n", column-2, name, strings.TrimRight(line, " "))
		}
	}
}

// flagValue implements [pflag.Value] for a field.
type flagValue struct {
	target any      // pointer to the field
	name   string   // of the value in help texts
	values []string // nil: all
}

// String implements pflag.Value. pflag shows DefValue as the default, not this.
func (v *flagValue) String() string { return "" }

// Type implements pflag.Value. It returns the name of the value in help texts.
func (v *flagValue) Type() string { return v.name }

// Set implements pflag.Value. A flag of a list adds an element with each call.
func (v *flagValue) Set(text string) (err error) {
	if len(v.values) > 0 && !slices.Contains(v.values, text) {
		return fmt.Errorf("want one of %s", strings.Join(v.values, ", "))
	}
	want := ""
	switch target := v.target.(type) {
	case *string:
		*target = text
	case *[]string:
		*target = append(*target, text)
	case *bool:
		want = "true or false"
		*target, err = strconv.ParseBool(text)
	case *int:
		want = "a whole number"
		*target, err = strconv.Atoi(text)
	case *int64:
		want = "a whole number"
		*target, err = strconv.ParseInt(text, 10, 64)
	case *float64:
		want = "a number"
		*target, err = strconv.ParseFloat(text, 64)
	case *time.Duration:
		want = "a duration such as 10s, 5m or 1h30m"
		*target, err = time.ParseDuration(text)
	default:
		panic(fmt.Sprintf("a flag of type %T", target))
	}
	if err != nil {
		return errors.New("want " + want)
	}
	return nil
}
