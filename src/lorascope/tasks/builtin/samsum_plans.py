"""What the generated dialogues of samsum.py are about: plans that are made, and ways to agree, in a small notation.

A scene begins with "# name" and ends at an empty line. Its lines:

    A: text                 a turn of speaker A; A and B talk, in some scenes C as well; X and Y are talked about
    ? A: text               a turn that is left out every other time
    @time A B               one of the ways to agree on a time, with A in the part of P and B in that of Q
    + B: text  :: day=...   the first turn of one way to go on; of neighbours with the same sign, + or -, one is taken
      A: text  :: day=...   a further turn of that way
    = text                  a summary; of several, one is taken

Behind "::" stand the facts that are settled, "name=text; name=text"; later lines call them {name}. In a text, [a|b|c]
is a choice, the first being the commonest, and {food1} a word of a list in samsum.py; {food1} and {food2} differ. Of a
person, {A.she}, {A.him} and {A.his} are the pronouns; {food1.S} begins with a capital, {object1.a} with its article.
"""

from __future__ import annotations

AGREEMENTS = """
# time
P: [How about|Shall we say|Is it OK at] {time1}?
+ Q: [Perfect.|Sounds good.|{time1} is fine.|OK!]  :: time={time1}
+ Q: [Can we make it {time2}?|{time2} would be better.|Make it {time2}.]
  P: [Sure.|OK, no problem.|{time2} it is.|Fine.]  :: time={time2}
+ Q: [Can we make it {time2}?|{time2} would be better.|Make it {time2}.]
  P: [Sorry, I'm busy then.|I can't, I have to work.|No, that's no good for me.]
  Q: [OK, as you said then.|Fine, then I'll hurry.|{time1} then.]  :: time={time1}

# time
Q: [What time?|When?|At what time?]
P: {time1} or {time2}, [as you like|you choose|I don't mind].
+ Q: [{time1} is better.|{time1} please.|The first one.]  :: time={time1}
+ Q: [{time2} is better.|{time2} please.|The second one.]  :: time={time2}

# day
P: [Are you free on|How about|What about] {day1}?
+ Q: [Yes!|{day1} is fine.|Good for me.]  :: day={day1}
+ Q: [No, I have to work.|Sorry, I'm away.|No, I can't.] [How about|What about|Maybe] {day2}?
  P: [OK.|Fine with me.|Even better.|{day2} it is.]  :: day={day2}
+ Q: [Not sure.|Hm.|Let me see.] [How about|What about|Maybe] {day2}?
  P: [I can't then.|I'm away then.|No, I have a lesson.]
  Q: [OK, as you said then.|Then I'll make it work.|{day1} then.]  :: day={day1}

# place
Q: [Where shall we meet?|Where do we meet?|And where?]
P: At the {place1}?
+ Q: [OK.|Good.|Fine, I know it.]  :: place={place1}
+ Q: [It's too far.|It's closed.|I don't like it there.] [At the|Rather the|Maybe the] {place2}?
  P: [OK.|Fine with me.|All right.]  :: place={place2}

# place
P: [Shall we meet at|Let's meet at] the {place1}.
+ Q: [OK.|Good.|Fine, I know it.]  :: place={place1}
+ Q: [Isn't the {place2} nearer?|The {place2} is nearer.]
  P: [Right, let's go there.|You're right, the {place2} then.]  :: place={place2}
+ Q: [Isn't the {place2} nearer?|The {place2} is nearer.]
  P: [Yes, but it's always full.|Yes, but it's closed now.]
  Q: [I see. OK.|OK, you win.]  :: place={place1}

# late
P: [Oh no, I just saw that I can't then.|Wait, I have a lesson then.] [Is {time3} OK?|Can we say {time3}?]
Q: [No problem.|Sure.|That's fine, {time3}.]  :: time={time3}

# who
Q: [Who buys it?|Who can get it?]
P: [I can.|I'll do it.]  :: who={P}

# who
P: [Can you buy it?|Can you get it?]
+ Q: [Yes.|Sure.]  :: who={Q}
+ Q: [I have no time.|I don't know where.]
  P: [OK, I'll do it.|Then I'll go.]  :: who={P}
"""

SCENES = """
# film
A: [Do you want to see|Shall we see|How about] {film1}?
+ B: [I'd love to.|Sure!|Good idea.]  :: film={film1}
+ B: I've seen it. [What about|Or] {film2}?
  A: [OK.|Good idea.|Even better.]  :: film={film2}
@day A B
@time B A
? @late A B
= {A} and {B} will see {film} on {day} at {time}.
= {A} and {B} are going to the cinema on {day} at {time} to see {film}.
= On {day} at {time} {A} and {B} will watch {film}.

# coffee
A: [Time for some {drink1}?|Shall we have some {drink1}?]
B: [Yes, but not today.|Sure, when?|Yes, please!]
@day A B
@place A B
@time B A
= {A} and {B} will have some {drink1} at the {place} on {day} at {time}.
= {A} and {B} are meeting at the {place} on {day} at {time} for some {drink1}.

# game
A: [Do you want to play|Shall we play|Are you up for] {game1} this week?
B: [Sure.|Yes, I need to move.|Yes, but go easy on me.]
@day A B
@time A B
+ A: [Bring your own shoes.|I have no ball, sorry.]
  B: [I have a ball.|Then I'll bring the ball.]  :: ball={B}
+ B: [I have no ball.|My ball is broken.]
  A: [I'll bring mine.|I have one.]  :: ball={A}
= {A} and {B} will play {game1} on {day} at {time}. {ball} will bring the ball.
= {A} and {B} are playing {game1} on {day} at {time}. {ball} has a ball.

# bring food
A: [Are you coming to my {party1}?|You're coming to my {party1}, right?]
B: [Of course! What can I bring?|Yes! Shall I bring something?]
+ A: [Some {food1}, please.|{food1.S} would be great.]
  B: [No problem.|OK, I'll buy some.]  :: food={food1}
+ A: [Some {food1}, please.|{food1.S} would be great.]
  B: [I have no {food1} at home.|I'm no good at that.] Can I bring {food2}?
  A: [Sure.|Even better.]  :: food={food2}
+ B: I could make {food2}.
  A: [{X} is bringing that already.|We have enough of that.] Rather {food1}.
  B: OK.  :: food={food1}
@day B A
= {B} will bring {food} to {A}'s {party1} on {day}.
= {A}'s {party1} is on {day}. {B} is coming and will bring {food}.

# present
A: [What do we give|What shall we buy] {X} for {X.his} birthday?
+ B: [How about|Maybe] {object1.a}?
  A: [Good idea.|Yes, {X.she} needs one.]  :: gift={object1.a}
+ B: [How about|Maybe] {object1.a}?
  A: {X.She} [has one already|doesn't like that]. [Rather|Maybe] {object2.a}?
  B: [OK.|Yes!]  :: gift={object2.a}
- A: [How much do we pay?|How much?]
  B: [{price1} euros each.|{price1} each.]
@who A B
= {A} and {B} will give {X} {gift} for {X.his} birthday. {who} will buy it.
= {who} will buy {gift} for {X}'s birthday. It's from {A} and {B}.

# dinner
A: [What's for dinner?|What shall we eat tonight?]
+ B: [{dish1.S}.|I'm making {dish1}.]  :: dish={dish1}; cook={B}
+ B: [{dish1.S}.|I'm making {dish1}.]
  A: [Again? I can make {dish2}.|No, please. I'll cook {dish2}.]
  B: [OK, go on.|Fine with me.]  :: dish={dish2}; cook={A}
+ B: You cook today!
  A: Oh, right. [{dish1.S}?|How about {dish1}?]
  B: [Good.|Yum.]  :: dish={dish1}; cook={A}
- B: [We need {drink1}.|There is no {drink1}.]
  A: [I'll buy some.|I can get it.]  :: buy={A} will buy {drink1}
- A: [Do we have {drink1}?|Is there any {drink1}?]
  B: [No, I'll get some.|No, but I'm at the shop now.]  :: buy={B} will buy {drink1}
= {cook} will make {dish} for dinner. {buy}.
= {A} and {B} will have {dish} for dinner. {cook} will cook. {buy}.

# moving
A: I'm moving to {town1}! [Can you help me?|Do you have time to help?]
@day A B
+ A: [Do you have a van?|Can you get a van?]
  B: [No, but {X} has one.|{X} can lend us one.]  :: van={X} has a van
+ B: [Do we need a van?|I can bring my van.]
  A: [Thanks, but {X} has one.|No, {X} is bringing one.]  :: van={X} has a van
+ A: [Do you have a van?|Can you get a van?]
  B: [Yes, I have one.|I'll bring mine.]  :: van={B} has a van
+ A: [The {object1} is so heavy.|I have only one {object1} and a bed.]
  B: [We'll ask {X}.|{X} should help too.]  :: van={X} will help too
@time A B
= {B} will help {A} move to {town1} on {day} at {time}. {van}.
= {A} is moving to {town1} on {day}. {B} will come at {time} to help. {van}.

# table
A: I'm booking a table at the {pub1}. [How many are we?|For how many?]
+ B: [{number1.S}.|We are {number1}.]  :: people={number1}
+ B: [{number1.S}.|We are {number1}.]
  A: [With {X}?|Is {X} coming?]
  B: [Oh, I forgot {X.him}. One more then.|Yes, so {number1.next}.]  :: people={number1.next}
@time A B
? @late B A
= {A} will book a table for {people} at the {pub1} for {time}.
= {A} is booking a table at the {pub1} at {time} for {people} people.

# paint
A: [Which colour for the {room1}?|What colour shall we paint the {room1}?]
+ B: [{colour1.S}.|I like {colour1}.]
  A: [Nice.|Yes!]  :: colour={colour1}
+ B: [{colour1.S}.|I like {colour1}.]
  A: [I don't like that.|Not again.] [{colour2.S}?|Rather {colour2}.]
  B: [OK.|Fine.]  :: colour={colour2}
+ A: {colour2.S}?
  B: [Never. {colour1.S}!|Please no. I want {colour1}.]
  A: [You win.|All right.]  :: colour={colour1}
@day A B
= {A} and {B} will paint the {room1} {colour} on {day}.
= The {room1} will be {colour}. {A} and {B} will paint it on {day}.

# lift
A: [How do we get to {town1}?|Are you driving to {town1}?]
+ B: [I'll drive.|We take my car.]
  A: [Great.|Thanks!]  :: how={B} will drive
+ B: [My car is broken.|I have no car now.]
  A: [Then we take the {vehicle1}.|The {vehicle1} then.]  :: how=They will take the {vehicle1}
+ B: [By {vehicle1}?|With the {vehicle1}?]
  A: [No, I'll drive.|No, we can take my car.]  :: how={A} will drive
@time A B
? @late B A
= {A} and {B} are going to {town1} at {time}. {how}.
= {A} and {B} will leave for {town1} at {time}. {how}.

# shopping
A: [I'm at the market.|I'm at the shop.] [Do we need anything?|What do we need?]
+ B: [{food1.S} and {food2}.|Bring {food1} and {food2}.]
  A: [OK.|All right.]  :: list={food1} and {food2}
+ B: [{food1.S} and {food2}.|Bring {food1} and {food2}.]
  A: They have no {food1}.
  B: [Then {food3}.|Take {food3} instead.]  :: list={food2} and {food3}
+ B: {food1.S}.
  A: [Is that all?|Nothing else?]
  B: [Oh, and {food2}.|{food2.S} too.]  :: list={food1} and {food2}
= {A} is shopping. {A.She} will buy {list} for {B}.
= {A} will buy {list}.

# dress
A: [What are you wearing to the {party1}?|What will you wear at the {party1}?]
+ B: My {colour1} [jacket|shirt|coat].
  A: [Nice!|Good.]  :: wear=something {colour1}
+ B: My {colour1} [jacket|shirt|coat].
  A: [I'm wearing {colour1} too!|No, that's my colour!]
  B: [OK, the {colour2} one.|Then I'll go in {colour2}.]  :: wear=something {colour2}
- A: [Who's driving?|How do we get there?]
  B: [{X} is driving.|{X} picks us up.]  :: drive={X}
- B: [Can you drive?|Are you driving?]
  A: [Yes.|Sure.]  :: drive={A}
= {B} will wear {wear} to the {party1}. {drive} will drive.
= {A} and {B} are going to the {party1}. {B} will wear {wear} and {drive} will drive.

# weather
A: [Is our picnic still on?|What about our picnic?] [It's {weather1}.|They say it will be {weather1}.]
+ B: [No, let's do it on {day1}.|Let's move it to {day1}.]
  A: [OK.|Good.]  :: end=They moved it to {day1}
+ B: [Yes, I don't care.|Of course.]
  A: [OK, I'll bring a coat.|OK, then I'll come.]  :: end=They will go all the same
+ B: [No, come to my house.|Let's stay at my house.]
  A: [OK, I'll bring {food1}.|Good, I have {food1}.]  :: end=They will meet at {B}'s house and {A} will bring {food1}
= {A} and {B} wanted to have a picnic, but it's {weather1}. {end}.
= It's {weather1}, so {A} asked {B} about their picnic. {end}.

# meeting
A: The meeting is in room {number1}, [right?|isn't it?]
+ B: [Yes, at {time1}.|Right, we start at {time1}.]  :: room={number1}; time={time1}
+ B: [No, room {number2}, at {time1}.|They moved it to room {number2}, at {time1}.]  :: room={number2}; time={time1}
+ B: [Yes, but not at {time2}.|Yes, but not at {time2} as always.]
  A: [When then?|Oh, when?]
  B: {time1}.  :: room={number1}; time={time1}
- A: [Who's speaking?|Who has the slides?]
  B: [You!|You, of course.]
  A: [Oh no.|I forgot!]  :: talk={A}
- A: [Who's speaking?|Who has the slides?]
  B: [{X}.|I think {X}.]  :: talk={X}
= The meeting is in room {room} at {time}. {talk} will speak.
= {talk} will speak at the meeting in room {room} at {time}.

# three dinner
A: [Shall we all eat out?|Dinner, you two?] [{cuisine1} or {cuisine2}?|I'm thinking of {cuisine1} or {cuisine2}.]
+ B: [{cuisine1}!|I vote for {cuisine1}.]
  C: [Me too.|Fine with me.]  :: food={cuisine1}
+ B: [{cuisine1}!|I vote for {cuisine1}.]
  C: [I'd like {cuisine2}.|Rather {cuisine2}.]
  A: [Then I say {cuisine2}.|{cuisine2} for me too, sorry {B}.]  :: food={cuisine2}
+ B: [{cuisine2}!|I vote for {cuisine2}.]
  C: [I'd like {cuisine1}.|Rather {cuisine1}.]
  A: [Then I say {cuisine1}.|{cuisine1} for me too, sorry {B}.]  :: food={cuisine1}
@day A C
= {A}, {B} and {C} will have {food} food on {day}.
= {A}, {B} and {C} are eating out on {day}. They chose {food} food.

# three trip
A: [Who's coming to {town1} on {day1}?|I'm going to {town1} on {day1}. Who's coming?]
+ B: [Me!|I am.]
  C: [I can't, I have to work.|Not me, I have to work.]  :: who={A} and {B}; not={C} has to work
+ B: [I can't, I'm sick.|Not me, I'm in bed.]
  C: [But I am!|I'm in.]  :: who={A} and {C}; not={B} is sick
+ C: [Me!|I'm in.]
  B: [I have an exam.|I'd love to, but I have an exam.]  :: who={A} and {C}; not={B} has an exam
- A: [We take the {vehicle1} at {time1}.|The {vehicle1} goes at {time1}.]  :: how={vehicle1} at {time1}
- A: [We take the {vehicle2} at {time2}.|The {vehicle2} goes at {time2}.]
  A: [No, wait, it doesn't go on {day1}.|Oh, it's full.] The {vehicle1} then, at {time1}.  :: how={vehicle1} at {time1}
= {who} will take the {how} to {town1} on {day1}. {not}.
= {who} are going to {town1} on {day1} by {how}. {not}.

# three party
A: My {party1} is on {day1}! [Who brings what?|What can you bring?]
+ B: [I'll bring {food1}.|{food1.S} from me.]
  C: [And I'll bring {food2}.|{food2.S} from me.]  :: b={food1}; c={food2}
+ B: [I'll bring {food1}.|{food1.S} from me.]
  C: [I wanted to bring that!|Oh, me too.]
  B: [OK, then I'll take {food2}.|Fine, you do it. I'll make {food2}.]  :: b={food2}; c={food1}
+ C: [I'll bring {food2}.|{food2.S} from me.]
  B: [Then {food1}.|Then I'll make {food1}.]  :: b={food1}; c={food2}
? A: [You're great.|Thanks, you two!]
= {A}'s {party1} is on {day1}. {B} will bring {b} and {C} will bring {c}.
= {B} will bring {b} and {C} {c} to {A}'s {party1} on {day1}.

# three lift
A: [Who can pick up {X} from the {place1}?|{X} is at the {place1}. Who can get {X.him}?]
+ B: [I can.|I'll go.]
  C: [Thanks {B}!|Good, I have no car.]  :: who={B}
+ B: [My car is broken.|I can't.]
  C: [I'll go.|Then I'll do it.]  :: who={C}
+ C: [I can.|I'll go.]
  B: [I'm nearer, let me do it.|No, I pass there anyway.]
  C: [OK, thanks.|Great.]  :: who={B}
- C: [When?|What time?]
  A: [At {time1}.|{time1}.]  :: time={time1}
- C: [At {time2} as always?|{time2}?]
  A: [No, {time1}.|{time1} today.]  :: time={time1}
= {who} will pick up {X} from the {place1} at {time}.
= {X} is at the {place1}. {who} will get {X.him} at {time}.

# three gift
A: [{X} is leaving us.|It's {X}'s last day on {day1}.] [A present?|Shall we give {X.him} something?]
+ B: [{object1.a.S}?|What about {object1.a}?]
  C: [I like that.|Yes!]  :: gift={object1.a}
+ B: [{object1.a.S}?|What about {object1.a}?]
  C: [No, {object2.a}.|{X.She} would like {object2.a} more.]
  B: [You're right.|OK.]  :: gift={object2.a}
+ C: [{object2.a.S}?|What about {object2.a}?]
  B: [No, {object1.a}.|{X.She} would like {object1.a} more.]
  A: [I'm with {B}.|Yes, {B} is right.]  :: gift={object1.a}
- A: [Who buys it?|Who can get it?]
  B: I can.  :: who={B}
- A: [Who buys it?|Who can get it?]
  C: Me.  :: who={C}
- A: [Who buys it?|Who can get it?]
  B: [You!|You have the car.]
  A: OK.  :: who={A}
= {A}, {B} and {C} will give {X} {gift}. {who} will buy it.
= {who} will buy {gift} for {X}. It's from {A}, {B} and {C}.
"""
