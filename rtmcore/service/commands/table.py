"""All commands, all values that answer them, and all outputs of an engine, each with the module that describes it."""

import attrs

from rtmcore.service.commands import (
    attributes,
    channels,
    entries,
    event_feeds,
    exclusions,
    history,
    inboxes,
    media,
    messages,
    presence,
    results,
    sessions,
)

Command = (
    sessions.Claim
    | sessions.Silent
    | sessions.Heard
    | sessions.Release
    | messages.PeerSend
    | messages.SendAs
    | messages.PublishMessage
    | messages.PublishAs
    | inboxes.Acknowledge
    | inboxes.ReadInbox
    | inboxes.ListStored
    | inboxes.DropStored
    | channels.JoinChannel
    | channels.LeaveChannel
    | channels.ReadChannel
    | channels.ReadChannels
    | channels.ListMembers
    | channels.CountMembers
    | channels.CountMembersOf
    | channels.Watch
    | channels.Unwatch
    | presence.SubscribePresence
    | presence.UnsubscribePresence
    | presence.QueryPresence
    | presence.ListSubscriptions
    | attributes.WriteAttributes
    | attributes.ChangeAttributes
    | attributes.ReadAttributes
    | attributes.ChangeChannelAttributes
    | attributes.ReadChannelAttributes
    | history.ReadHistory
    | media.AttachMedia
    | media.DetachMedia
    | media.SendData
    | exclusions.Ban
    | exclusions.Unban
    | exclusions.Kick
    | exclusions.Expel
    | exclusions.CheckBearer
    | event_feeds.Record
    | event_feeds.TakeEvents
)
"""What a node may ask of an engine."""

Value = (
    entries.Page
    | sessions.Claimed
    | messages.PeerOutcome
    | messages.Accepted
    | messages.Logged
    | channels.Membership
    | channels.Pages
    | channels.Counts
    | presence.States
    | presence.UserNames
    | attributes.Attributes
    | attributes.ChannelAttributes
    | history.Kept
    | exclusions.PutOut
    | event_feeds.Events
    | results.Settled
    | results.Refusal
)
"""What a command may be answered with; the docstring of each command says which."""


@attrs.define
class Answer:
    """The result of a command, for the node that issued it or that now holds the session."""

    command: Command
    value: Value


Output = (
    Answer
    | sessions.Ended
    | inboxes.InboxNotice
    | channels.ChannelNotice
    | channels.MemberNotice
    | channels.MemberStateNotice
    | presence.PresenceNotice
    | attributes.AttributesNotice
    | media.DataNotice
    | exclusions.ExpelNotice
    | exclusions.ShutOut
)
"""What an engine tells a node."""
