"""More of what the generated dialogues are about, news and favours, in the notation of samsum_plans.py."""

from __future__ import annotations

SCENES = """
# borrow
A: [Can I borrow your {object1}?|Could you lend me your {object1}?]
+ B: [Sure.|Of course.] What for?  :: thing={object1}
+ B: It's broken, [but I have {object2.a}|but you can have my {object2}].
  A: [That will do too.|Great, that works.]  :: thing={object2}
A: [It's for my trip to {town1}.|I'm going to {town1} and need it there.]
@day B A
? A: I'll bring it back [in a week|next month].
= {A} will borrow {B}'s {thing} for a trip to {town1}. {A} will get it on {day}.
= {B} will lend {A} {B.his} {thing} on {day}. {A} needs it in {town1}.

# sell
A: [Is your {object1} still for sale?|I'd like to buy your {object1}.]
B: [Yes, {price1} euros.|Yes, I want {price1} euros for it.]
+ A: [OK, I'll take it.|Good price!]  :: price={price1}
+ A: [Would you take {price2}?|I can give you {price2}.]
  B: [OK, because it's you.|All right.|Deal.]  :: price={price2}
+ A: [Would you take {price2}?|I can give you {price2}.]
  B: [No, sorry.|No, that's not enough.]
  A: [All right, you'll get your price.|OK, I'll pay it.]  :: price={price1}
@day B A
= {A} will buy {B}'s {object1} for {price} euros on {day}.
= {B} is selling {B.his} {object1} to {A} for {price} euros. {A} will come on {day}.

# late train
A: [My {vehicle1} to {town1} is late.|The {vehicle1} to {town1} is late again.]
B: [Oh no. How long?|How much longer?]
+ A: [{minutes1} minutes.|About {minutes1} minutes.]  :: late={minutes1}
+ A: They say {minutes1} minutes.
  A: [No, wait. Now it's {minutes2}.|They changed it to {minutes2}.]  :: late={minutes2}
- B: [Shall I wait for you?|What should I do?]
  A: [Go in without me.|No, don't wait.]  :: then={B} will not wait
- B: [Shall I pick you up?|I can pick you up.]
  A: [Yes, at the {place1} please.|Great, at the {place1}.]  :: then={B} will pick {A.him} up at the {place1}
- B: [Where shall I wait?|Shall I wait?]
  A: [Yes, at the {place1}.|At the {place1} please.]  :: then={B} will wait at the {place1}
= {A}'s {vehicle1} to {town1} is {late} minutes late. {then}.
= {A} will be {late} minutes late, because {A.his} {vehicle1} to {town1} is late. {then}.

# lost
A: [I can't find my {object1}.|Have you seen my {object1}?]
+ B: [Is it the {colour1} one?|The {colour1} one?]
  A: [Yes.|Exactly.]  :: colour={colour1}
+ B: [Is it the {colour1} one?|The {colour1} one?]
  A: [No, the {colour2} one.|No, it's {colour2}.]  :: colour={colour2}
- B: [Look in the {room1}.|I saw it in the {room1}.]
  A: [Found it, thanks!|Yes, here it is.]  :: where={A} found it in the {room1}
- B: [It's in the {room1}.|Look in the {room1}.]
  A: [It's not there.|I looked there.]
  B: Then {X} has it. [I saw {X.him} with it.|{X.She} took it.]  :: where={X} has it
= {A} was looking for {A.his} {colour} {object1}. {where}.
= {A} lost {A.his} {colour} {object1}. {where}.

# sick
+ A: [I'm sick.|I'm in bed.] I can't come on {day1}.  :: why=is sick
+ A: [I broke my arm.|My arm is broken.] I can't come on {day1}.  :: why=broke {A.his} arm
+ A: [I'm still in {town1}.|I'm in {town1} this week.] I can't come on {day1}.  :: why=is in {town1}
B: [What about your {subject1} lesson?|Who gives your {subject1} lesson?]
+ A: [Can you take it?|Could you do it?]
  B: [Sure.|Of course.]  :: who={B}
+ A: [Can you take it?|Could you do it?]
  B: I can't. [I'll ask {X}.|Maybe {X} can.]
  B: [{X.She} said yes.|{X.She} will do it.]  :: who={X}
+ A: {X} will do it.
  B: [{X.She} is away.|{X.She} is sick too.] [I'll do it.|Then I'll take it.]  :: who={B}
= {A} {why} and can't come on {day1}. {who} will take {A.his} {subject1} lesson.
= {who} will give {A}'s {subject1} lesson on {day1}, because {A.she} {why}.

# pet
A: [We're going to {town1}.|We're off to {town1}.] [Can you feed our {pet1}?|Could you look after our {pet1}?]
B: [When?|From when?]
+ A: From {day1} to {day2}.
  B: [OK, no problem.|Sure, I love {pet1.many}.]  :: days=from {day1} to {day2}; who={B}
+ A: From {day1} to {day2}.
  B: [I can't do it every day.|I'm away on {day3}.]
  A: [That's fine, {X} can help.|{X} will help you then.]  :: days=from {day1} to {day2}; who={B} and {X}
= {A} is going to {town1} {days}. {who} will look after {A.his} {pet1}.
= {who} will feed {A}'s {pet1} {days}, when {A} is in {town1}.

# exam
A: [How was your {subject1} exam?|Did you pass {subject1}?]
+ B: [I passed!|It went well!]  :: result=passed
+ B: [I failed.|Not good, I failed.]  :: result=failed
- A: [And {subject2}?|What about {subject2}?]
  B: [That's on {day1}.|It's on {day1}.]  :: next={day1}
- A: [And {subject2}?|What about {subject2}?]
  B: It was on {day1}, [but they moved it to {day2}|now it's on {day2}].  :: next={day2}
? A: [Good luck!|I'll help you.]
= {B} {result} the {subject1} exam. The {subject2} exam is on {next}.
= {B} {result} {subject1}. {B.She} has the {subject2} exam on {next}.

# dentist
A: [I have to move my {subject1} lesson.|Can we move the {subject1} lesson?] It was on {day1}.
B: [Sure. {day2} at {time1}?|How about {day2} at {time1}?]
+ A: [Good.|I'll take it.|OK, thanks.]  :: day={day2}; time={time1}
+ A: [I can't then.|I have a match then.] [Another time?|Is that all you have?]
  B: [{time2} then.|I have {time2}.]
  A: [Great.|OK.]  :: day={day2}; time={time2}
+ A: [No, I work on {day2}.|{day2} is bad.]
  B: [{day3} at the same time?|Then {day3}, same time.]
  A: [Yes, please.|Good.]  :: day={day3}; time={time1}
= {A} will have {A.his} {subject1} lesson with {B} on {day} at {time} instead of {day1}.
= {A}'s {subject1} lesson was moved from {day1} to {day} at {time}.

# holiday
A: [Where are you going this {season1}?|Any plans for the {season1}?]
+ B: To {country1}, [with {X}|{X} is coming too].
  A: [By {vehicle1}?|Are you going by {vehicle1}?]  :: land={country1}
+ B: [We wanted to go to {country2}.|First we thought of {country2}.]
  A: [And now?|But?]
  B: [{X} doesn't like it.|{X} says it's too expensive.] [So it's {country1}.|We chose {country1}.]  :: land={country1}
- B: [Yes.|Of course.|That's right.] We leave in {month1}.  :: month={month1}
- B: [We leave in {month1}.|In {month1}.]
  B: No, sorry, [{month2}|I meant {month2}].  :: month={month2}
= {B} and {X} are going to {land} in {month}.
= {B} will travel to {land} with {X} in {month}.

# new job
A: [I got the job!|I have a new job!]
B: [Great! Which one?|Wow! As what?]
+ A: [As {job1.a} in {town1}.|I'll be {job1.a} in {town1}.]  :: job={job1.a}; town={town1}
+ A: [As {job1.a}.|I'll be {job1.a}.]
  B: [In {town2}?|Still in {town2}?]
  A: [No, in {town1}.|No, I have to move to {town1}.]  :: job={job1.a}; town={town1}
- B: [When do you start?|From when?]
  A: [In {month1}.|{month1}.]  :: month={month1}
- B: [When do you start? In {month2}?|So you start in {month2}?]
  A: [No, only in {month1}.|Already in {month1}.]  :: month={month1}
= {A} got a job as {job} in {town}. {A.She} starts in {month}.
= {A} will start to work as {job} in {town} in {month}.

# match
A: [Did you see the match?|Did you watch the {team1}?]
+ B: [No. Who won?|I missed it. Tell me!]
  A: [The {team1}, {goals1} to {low1}!|They won {goals1} to {low1}, the {team1}!]
  B: [I can't believe it.|Really?] Against the {team2}!  :: won=The {team1} beat the {team2} {goals1} to {low1}
+ B: [Yes, the {team2} were so bad.|Poor {team2}.]
  A: [They lost {low1} to {goals1}!|{low1} to {goals1}! The {team1} are just better.]
  B: [I love the {team1}.|The {team1} always win.]  :: won=The {team1} beat the {team2} {goals1} to {low1}
A: [Shall we go to the next one?|Let's go to the stadium next time.]
@day A B
= {won}. {A} and {B} will go to the next match on {day}.
= {won}. {A} and {B} are going to the stadium on {day}.

# parcel
A: [A parcel is coming for me on {day1}.|I'm waiting for a parcel on {day1}.] [Are you at home?|Can you take it?]
+ B: [Yes, all day.|Sure.]  :: who={B}
+ B: [No, but my {relative1} is here.|I'm out, but my {relative1} can take it.]  :: who={B}'s {relative1}
+ B: [Only in the {part1}.|I'm out in the {part1}.]
  A: [Then I'll ask {X}.|OK, {X} can do it.]  :: who={X}
? B: [What is it?|What did you buy?]
A: [It's {object1.a}.|I bought {object1.a}.]
= {who} will take {A}'s parcel on {day1}. It's {object1.a}.
= {A} bought {object1.a}. {who} will take the parcel on {day1}.

# book
A: [I need something to read.|Do you know a good book?]
+ B: [Read {film1}.|{film1} is great.]
  A: [I don't know it.|Never heard of it.]  :: book={film1}
+ B: [Read {film2}.|{film2} is great.]
  A: [I've read it.|I know that one.]
  B: [Then {film1}.|And {film1}?]
  A: [That's new to me.|I don't know that one.]  :: book={film1}
- B: [I can lend it to you.|I have it here.] [On {day1}?|I'll bring it on {day1}.]
  A: [Thanks!|Great.]  :: get={B} will lend it to {A.him} on {day1}
- B: [I gave mine to {X}.|{X} has mine.]
  A: [I'll ask {X.him}.|OK, I'll call {X.him}.]  :: get={A} will ask {X} for it
= {B} told {A} to read {book}. {get}.
= {A} wants to read {book}. {get}.

# repair
A: [My {object1} is broken.|I broke my {object1}.] [Do you know somebody?|Who can fix it?]
+ B: [{X} can fix it.|Ask {X}.]
  A: [How much is it?|Is {X.she} expensive?]
  B: [{price1} euros.|I paid {price1} euros.]  :: who={X}; price={price1}
+ B: [I can do it.|Bring it here.]
  A: [What do you want for it?|How much?]
  B: [Nothing. Just pay the parts, {price1} euros.|{price1} euros for the parts.]  :: who={B}; price={price1}
+ B: [{Y} can fix it.|Ask {Y}.]
  A: [{Y.She} has no time.|{Y.She} wants too much.]
  B: [Then {X}, {X.she} takes {price1} euros.|{X} does it for {price1} euros.]  :: who={X}; price={price1}
= {A}'s {object1} is broken. {who} can fix it for {price} euros.
= {who} can repair {A}'s {object1} for {price} euros.

# homework
A: [What's the homework in {subject1}?|What do we have to do for {subject1}?]
+ B: [Page {page1}.|Read page {page1}.]  :: page={page1}
+ B: [Page {page1}.|Read page {page1}.]
  A: [But we did that one.|That was last week.]
  B: [Oh. Page {page2} then.|Right, it's {page2}.]  :: page={page2}
- A: [Until when?|For when?]
  B: [For {day2}.|{day2}.]  :: day={day2}
- A: [Until {day1}?|For {day1}?]
  B: [No, {day2}.|For {day2}.]  :: day={day2}
- A: [Until {day1}?|For {day1}?]
  B: [Yes.|Right.]  :: day={day1}
= {A} has to read page {page} for {subject1} until {day}.
= The homework in {subject1} is page {page}. {A} has to do it until {day}.

# babysit
A: [Can you watch the kids on {day1}?|Are you free on {day1}? We need somebody for the kids.]
+ B: [From when to when?|What time?]
  A: [From {time1}.|We leave at {time1}.]
  B: [OK.|I'll be there.]  :: who={B}; time={time1}
+ B: [I can't, but {X} can.|I'm away, but ask {X}.]
  A: [Good, {X.she} should come at {time1}.|OK, tell {X.him} to come at {time1}.]  :: who={X}; time={time1}
+ B: [From {time2}?|At {time2} as always?]
  A: [Not this time, {time1} please.|No, at {time1} this time.]
  B: [No problem.|OK.]  :: who={B}; time={time1}
= {who} will look after {A}'s kids on {day1} from {time}.
= {A} needs help with the kids on {day1}. {who} will come at {time}.

# tickets
A: [I have {number1} tickets for the {show1}.|I got {number1} tickets for the {show1}.] [Want one?|Are you coming?]
+ B: [Yes! How much?|Sure. What do I owe you?]
  A: [{price1} euros.|Just {price1} euros.]  :: go={B} is coming and will pay {price1} euros
+ B: [Yes! How much?|Sure. What do I owe you?]
  A: [Nothing, it's a present.|It's on me.]  :: go={B} is coming and need not pay
+ B: [I can't.|No, I have to work.] [Ask {X}.|{X} would like it.]
  A: [OK, I'll call {X.him}.|Good idea.]  :: go={B} can't come, so {A} will ask {X}
? A: [It's on {day1}.|It's in {town1}.]
= {A} has {number1} tickets for the {show1}. {go}.
= {A} asked {B} to come to the {show1}. {go}.

# flat
A: [I saw a flat in {town1}.|I found a flat in {town1}!]
B: [How many rooms?|How big is it?]
A: [{number1.S} rooms, {rent1} euros.|It has {number1} rooms and costs {rent1} euros.]
+ B: [Take it!|That's cheap.]
  A: [I will.|Yes, I'll sign today.]  :: end=take it
+ B: [That's too much.|Is it worth it?]
  A: [You're right. I'll go on looking.|No, I'll leave it.]  :: end=not take it
+ B: [Take it!|Is it light?]
  A: [I don't know, I'll see it on {day1}.|I'm going there on {day1} to look at it.]  :: end=look at it on {day1}
= {A} found a flat in {town1} with {number1} rooms for {rent1} euros. {A.She} will {end}.
= {A} will {end}: a flat with {number1} rooms in {town1} for {rent1} euros.

# secret
A: [Don't tell anybody!|It's a secret:] {X} and {Y} [are getting married|are together].
+ B: [I knew it.|{X} told me.]  :: knew={B} knew it
+ B: [What? No!|Really? Since when?]  :: knew={B} did not know
- A: [The wedding is in {month1}.|They marry in {month1}.]
  B: [Where?|And where?]
  A: [In {town1}.|In {town1}, of course.]  :: when=in {month1} in {town1}
- A: [The wedding is in {month2}.|They marry in {month2}.]
  B: [{X} told me it's in {month1}.|But {Y} said {month1}.]
  A: [Oh, yes, you're right. In {town1}.|Right. And in {town1}.]  :: when=in {month1} in {town1}
= {X} and {Y} will get married {when}. {knew}.
= {A} told {B} that {X} and {Y} will marry {when}. {knew}.

# garden
A: [Can you water my plants?|Could you water the garden?] [I'm in {town1} now.|I have to go to {town1}.]
+ B: [Sure. Where is the key?|OK, but I have no key.]
  A: [{X} has it.|Ask {X} for it.]  :: key={X} has the key
+ B: [Sure. Where is the key?|OK, but I have no key.]
  A: [Under the {object1}.|It's under the {object1}.]  :: key=The key is under the {object1}
+ B: [Is the key under the {object2}?|With {Y}, as always?]
  A: [No, {X} has it now.|No, I gave it to {X}.]  :: key={X} has the key
+ B: [Is the key with {Y}?|Is it under the {object2}?]
  A: [No, under the {object1}.|No, it's under the {object1} now.]  :: key=The key is under the {object1}
- B: [How often?|Every day?]
  A: [Every {day1}.|Only on {day1}.]  :: when={day1}
- B: [Only on {day2}?|On {day2}, as always?]
  A: [No, on {day1}.|Better on {day1}.]  :: when={day1}
= {B} will water {A}'s plants on {when}, because {A.she} is in {town1}. {key}.
= {A} is in {town1}, so {B} will water {A.his} plants on {when}. {key}.
"""
