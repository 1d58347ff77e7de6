"""What people talk about: plans that they make, news with what came of them, small talk.

In a text, [a|b] is a choice and {thing1} a word of a list in talks.py; A and B talk, X and Y are talked about.
"""

from __future__ import annotations


def blocks(text: str) -> list[list[str]]:
    """The lines of each block; an empty line stands between two."""
    return [block.splitlines() for block in text.strip().split("\n\n")]


PLANS = blocks("""
Shall we go [to the cinema|swimming|for a walk|shopping|dancing|running]?
{A} and {B} will go out together {when}.
day time

Do you want to play {sport1} with me?
{A} and {B} will play {sport1} {when}.
day time

Would you like to have a {drink1} with me?
{A} and {B} will have a {drink1} {when}.
day place

Let's have lunch together.
{A} and {B} will have lunch {when}.
day place time

Let's eat out.
{A} and {B} will eat out {when}.
cuisine day

I'd like to see {name1} at the cinema. Are you coming?
{A} and {B} will see {name1} {when}.
day time

I have two tickets for the {event1}. Do you want to come?
{A} will take {B} to the {event1} {when}.
day time

Can you help me with my {thing1}?
{B} will help {A} with the {thing1} {when}.
day time

Can I borrow your {thing1}?
{B} will lend {A} the {thing1} {when}.
day

Can you feed my {animal1} while I am away?
{B} will feed {A}'s {animal1} {when}.
day

I need somebody to paint my {room1}.
{B} will paint {A}'s {room1} {when}.
day time

Are you still selling your {thing1}?
{A} will buy {B}'s {thing1} {when}.
price day

Is your {thing1} for sale?
{B} will sell the {thing1} to {A} {when}.
price place

We must go to {town1}.
{A} and {B} will go to {town1} {when}.
vehicle day

Let's make a trip.
{A} and {B} will make a trip together {when}.
town day

Can you pick me up?
{B} will pick up {A} {when}.
place time

When is the {event1}?
The {event1} is {when}, says {B}.
day time

We need a new date for the {event1}.
{A} and {B} moved the {event1}: it is {when}.
day time

I have to give you back your {thing1}.
{A} will return the {thing1} to {B} {when}.
day place

Could you teach me some {sport1}?
{B} will teach {A} {sport1} {when}.
day place
""")
"""What A says first, what comes of it, and what is to be agreed on; in the end {when} holds it."""

NEWS = blocks("""
A: I bought a {thing1}!
B: What colour?
A: It's {colour1}.
= {A} has a new {thing1}, a {colour1} one.

A: I [have|got] a new job.
B: As what?
A: As a {job1} in {town1}.
= {A} will work in {town1} as a {job1}.

A: I can't find my {thing1}.
B: Did you look in the {room1}?
A: It's not there.
B: Then look in the {room2}.
A: Found it!
= {A} found the lost {thing1} in the {room2}.

A: Have you seen my {thing1}?
B: It's in the {room1}.
A: Thanks!
= {A} was looking for a {thing1}. {B} knew that it was in the {room1}.

A: What shall we give {X}?
B: A {thing1}?
A: {X} has one.
B: Then a {thing2}.
A: Good.
= {A} and {B} will give {X} a {thing2}.

A: What shall we give {X}?
B: How about a {thing1}?
A: Good idea. Who buys it?
B: I will.
= {B} will buy a {thing1} for {X}.

A: What shall I bring to the {event1}?
B: {food1.S}, please.
A: I have none. Is {food2} OK too?
B: Sure.
= {A} will bring {food2} to the {event1}.

A: What shall I bring to your {event1}?
B: {food1.S}!
A: No problem.
= {A} will bring {food1} to {B}'s {event1}.

A: I'm [sick|ill].
B: Oh no! What about the {event1}?
A: I can't come. {X} will go for me.
= {A} is sick, so {X} will go to the {event1} instead.

A: My {vehicle1} is late.
B: How long?
A: {minutes1} minutes. No, now it's {minutes2}.
= {A}'s {vehicle1} is {minutes2} minutes late.

A: I missed the {vehicle1}.
B: When is the next one?
A: In {minutes1} minutes.
= {A} missed the {vehicle1} and must wait for {minutes1} minutes.

A: We saw {animal1_a} in the {place1}!
B: Really? Who saw it?
A: {X} and I.
= {A} and {X} saw {animal1_a} in the {place1}.

A: Who won the {event1}?
B: {X}.
A: Not you?
B: No, I was {ordinal1}.
= {X} won the {event1}. {B} was {ordinal1}.

A: How many people are coming?
B: {number1.S}.
A: Did you count {X}?
B: Oh, no. {number2.S} then.
= {number2.S} people are coming, {X} too.

A: Shall I cook {food1}?
B: I don't eat that.
A: {food2.S} then?
B: Yes, please.
= {A} will cook {food2}, because {B} doesn't eat {food1}.

A: Which colour for the {room1}?
B: {colour1.S}.
A: That's too dark. {colour2.S}?
B: OK.
= The {room1} will be {colour2}.

A: {X} has a new {animal1}.
B: What's its name?
A: {Y}, like your {relative1}!
= {X} called the new {animal1} {Y}.

A: I'm in {town1}.
B: With {X}?
A: No, with {Y}.
B: Have fun!
= {A} is in {town1} with {Y}.

A: It's {weather1} here.
B: Here it's {weather2}. Where are you?
A: In {town1}.
= In {town1}, where {A} is, it is {weather1}. Where {B} is, it is {weather2}.

A: I forgot my {thing1} at your house.
B: The {colour1} one?
A: Yes. Can you bring it?
B: {X} will.
= {X} will bring {A}'s {colour1} {thing1}.

A: Can {X} drive us?
B: No, {X} has no car now.
A: Then we take the {vehicle1}.
= {A} and {B} will take the {vehicle1}, because {X} has no car.

A: What does the {thing1} cost?
B: {price1} euros.
A: I only have {price2}.
B: All right, {price2}.
= {A} will pay {price2} euros for {B}'s {thing1}.

A: Where's {X}?
B: At the {place1}.
A: I was there.
B: Then {X} is at the {place2}.
= {B} thinks that {X} is at the {place2}.

A: I want to learn {sport1}.
B: {X} can teach you.
A: Can you ask?
B: Yes, I will.
= {B} will ask {X} to teach {A} {sport1}.
""")
"""Whole talks; "=" is what came of it."""

ASIDES = blocks("""
A: How are you?
B: Fine, thanks.

A: Did you see {X}?
B: No, why?
A: Just asking.

A: It's {weather1} today.
B: [Yes|I know], I stay at home.

A: I'm so tired.
B: Me too.

A: I had {food1} today.
B: [Nice|I like that].

B: My {relative1} says hello.
A: Oh, thanks!

A: I'm at the {place1} just now.
B: I'm in the {room1}.

B: Are you at work?
A: Yes, until {time1}.

A: Did you feed the {animal1}?
B: Of course.

B: {X} was here on {day1}.
A: What did {X_he} want?
B: My {thing1}.
""")
