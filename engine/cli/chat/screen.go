package chat

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/charmbracelet/bubbles/textinput"
	"github.com/charmbracelet/bubbles/viewport"
	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"
)

// Styles of the screen, in the 16 colours of the terminal.
var (
	roomStyle   = lipgloss.NewStyle().Foreground(lipgloss.Color("6"))
	fromStyle   = lipgloss.NewStyle().Bold(true)
	noticeStyle = lipgloss.NewStyle().Faint(true)
	deniedStyle = lipgloss.NewStyle().Foreground(lipgloss.Color("1"))
	barStyle    = lipgloss.NewStyle().Reverse(true)
)

// maxLines is the number of lines that are kept for scrolling back.
const maxLines = 2000

// screen runs the chat on the full screen of a terminal.
func (s *session) screen(ctx context.Context, rooms []string, in, out *os.File) error {
	input := textinput.New()
	input.Placeholder = "say something, or /help"
	input.Focus()
	m := &model{session: s, ctx: ctx, first: rooms, input: input}
	_, err := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out), tea.WithAltScreen()).Run()
	if errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil {
		err = nil
	}
	return cmp.Or(m.err, err)
}

// model is the state of the screen. It implements tea.Model.
type model struct {
	session *session
	ctx     context.Context // of the chat; bubbletea passes no context to commands
	first   []string        // rooms to join at once
	asking  bool            // an input is being carried out; only one goroutine may use the session
	typed   []string        // inputs that wait for the session
	input   textinput.Model
	view    viewport.Model
	shown   []string
	err     error
}

type (
	eventMsg    line
	answeredMsg struct {
		lines []line
		quit  bool
	}
	closedMsg struct{ err error }
)

// Init implements tea.Model.
func (m *model) Init() tea.Cmd {
	for _, room := range m.first {
		m.typed = append(m.typed, "/join "+room)
	}
	return tea.Batch(textinput.Blink, m.wait, m.ask())
}

// wait returns the next event.
func (m *model) wait() tea.Msg {
	s := m.session
	select {
	case l := <-s.events:
		return eventMsg(l)
	case <-s.closer.Done():
		return closedMsg{ending(s.closer.Err())}
	case <-m.ctx.Done():
		return closedMsg{}
	}
}

// ask carries out the next input, unless an earlier one is in progress.
func (m *model) ask() tea.Cmd {
	if m.asking || len(m.typed) == 0 {
		return nil
	}
	text := m.typed[0]
	m.typed, m.asking = m.typed[1:], true
	return func() tea.Msg {
		lines, quit := m.session.typed(m.ctx, text)
		return answeredMsg{lines, quit}
	}
}

// Update implements tea.Model.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.view.Width, m.view.Height = msg.Width, max(1, msg.Height-2)
		m.input.Width = max(1, msg.Width-len(m.input.Prompt)-1)
		m.fill()
		return m, nil
	case eventMsg:
		m.show([]line{line(msg)})
		return m, m.wait
	case answeredMsg:
		m.asking = false
		m.show(msg.lines)
		if msg.quit {
			return m, tea.Quit
		}
		return m, m.ask()
	case closedMsg:
		m.err = msg.err
		return m, tea.Quit
	case tea.KeyMsg:
		return m.key(msg)
	}
	var cmd tea.Cmd
	m.input, cmd = m.input.Update(msg)
	return m, cmd
}

func (m *model) key(key tea.KeyMsg) (tea.Model, tea.Cmd) {
	switch key.Type {
	case tea.KeyCtrlC, tea.KeyCtrlD:
		return m, tea.Quit
	case tea.KeyTab:
		m.nextRoom()
		return m, nil
	case tea.KeyPgUp, tea.KeyPgDown:
		var cmd tea.Cmd
		m.view, cmd = m.view.Update(key)
		return m, cmd
	case tea.KeyEnter:
		m.typed = append(m.typed, m.input.Value())
		m.input.Reset()
		return m, m.ask()
	}
	var cmd tea.Cmd
	m.input, cmd = m.input.Update(key)
	return m, cmd
}

// nextRoom makes the next room current.
func (m *model) nextRoom() {
	rooms := m.session.server.Rooms()
	if i := slices.Index(rooms, m.session.current()); len(rooms) > 0 {
		m.session.room.Store(&rooms[(i+1)%len(rooms)])
	}
}

func (m *model) show(lines []line) {
	for _, l := range lines {
		m.shown = append(m.shown, l.styled())
	}
	m.shown = m.shown[max(0, len(m.shown)-maxLines):]
	m.fill()
}

func (m *model) fill() {
	end := m.view.AtBottom()
	m.view.SetContent(lipgloss.NewStyle().Width(m.view.Width).Render(strings.Join(m.shown, "\n")))
	if end {
		m.view.GotoBottom()
	}
}

// styled formats the line in colour.
func (l line) styled() string {
	at := ""
	if !l.at.IsZero() {
		at = noticeStyle.Render(l.at.Format("15:04:05 "))
	}
	switch l.kind {
	case deniedLine:
		return deniedStyle.Render(l.String())
	case noticeLine:
		return at + noticeStyle.Render(l.String())
	}
	return at + roomStyle.Render("["+harmless(l.room)+"] ") + fromStyle.Render(harmless(l.from)+": ") + harmless(l.text)
}

// View implements tea.Model.
func (m *model) View() string {
	rooms := m.session.server.Rooms()
	bar := " " + cmp.Or(m.session.current(), "no room: /join ROOM")
	if len(rooms) > 1 {
		bar += "   (Tab: next of " + strings.Join(rooms, ", ") + ")"
	}
	bar += "   /help   Ctrl-C leaves"
	return m.view.View() + "\n" + barStyle.Width(m.view.Width).MaxHeight(1).Render(harmless(bar)) + "\n" + m.input.View()
}
