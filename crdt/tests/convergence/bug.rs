//! Planted bugs: each takes one rule out of the naive evaluator, or bends it. They serve twice. The
//! comparison must catch each of them (`planted.rs`), which shows that it can fail; and a bug that
//! changes no answer over all histories shows that the generator never makes its rule decide.

/// A rule that the naive evaluator gets wrong on purpose.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Bug {
    /// §2: one founder's approval is enough.
    QuorumOfOne,
    /// §2: approvals of widening acts count at every place.
    QuarantinedApprovals,
    /// §3: of several admissions to one number the greatest root has it.
    GreatestRoot,
    /// §3: roots that replaced one give no desks.
    OldRootsOnly,
    /// §2: an act that closes an old root gives the new one too, whoever approved it where.
    ClosedRootsGive,
    /// §3: of several cards of a device the greatest counts.
    GreatestCard,
    /// §3: any sponsor will do.
    AnySponsor,
    /// §3: an issuer may grant to another agency's device in the coalition.
    AnyIssuer,
    /// §3: a device that comes back has all that it had before.
    OldRoutesReturn,
    /// §3: whoever names an incarnation leaves it no other routes.
    AnybodyReadmits,
    /// §3: what a readmission gives, all incarnations have.
    NamesNobody,
    /// §3: a readmitted incarnation grants by routes that it has not.
    OldRoutesGrant,
    /// §7: who is no desk names incarnations.
    AnybodyNames,
    /// §3: routes may be deeper than 8.
    AnyDepth,
    /// §3: a grant may go beyond its issuer's limits.
    WiderLimits,
    /// §3: a grant that states no limit has none.
    ForgottenLimits,
    /// §3: a grant may give more than its issuer's right.
    WiderRight,
    /// §3: more than 16 routes are kept.
    AllRoutes,
    /// §3: a grant in a compartment gives its right to agencies outside the audience too.
    OpenAudience,
    /// §4: whoever has a standing may revoke whomever.
    AnybodyRevokes,
    /// §4: a revocation counts at places that count only, so that a fork undoes it.
    RevocationsNeedPlace,
    /// §4: of several keeps the most generous counts, not the common minimum.
    KeepsUnite,
    /// §4: a keep does not count.
    NoKeep,
    /// §6: the hash of a mark is not looked at.
    AnyHead,
    /// §6: a log that is shorter than its mark is taken to lead to it.
    ShortLogsLeadOn,
    /// §4: a retired agency's devices stay.
    RetireClosesNothing,
    /// §4: a replaced root's devices stay.
    ReplaceClosesNothing,
    /// §4: a root's word closes nothing.
    RootsCloseNothing,
    /// §4: nothing reopens.
    NothingReopens,
    /// §4: a reopening lifts all closures, not those that it cites.
    ReopensAll,
    /// §4: a reopening lifts closures of whatever rank.
    AnyReopens,
    /// §4: whoever may grant reopens.
    AnybodyReopens,
    /// §5: adopts override nothing.
    NoAdopts,
    /// §5: adopts override closures of whatever rank.
    NoRank,
    /// §5: a desk adopts logs of other agencies' devices.
    ForeignAdopts,
    /// §5: authority logs are adopted by desks and roots.
    AuthorityAdopts,
    /// §5: roots that were replaced adopt.
    OldRootsAdopt,
    /// §6: entries of devices without a standing count.
    NoStanding,
    /// §6: what was written beyond a fork counts.
    NoForks,
    /// §6: nothing brings back what was written beyond a fork.
    LostForks,
    /// §6: authority logs have branches that count.
    AuthorityBranches,
    /// §6: marks that contradict each other unite.
    ChoicesUnite,
    /// §6: a closure that does not apply any more chooses a branch.
    ReopenedChoose,
    /// §6: a closure that an adopt overrides chooses a branch.
    OverriddenChoose,
    /// §6: a device chooses a branch of its own forked log by revoking itself.
    ForkersChoose,
    /// §7: widening statements count at every place.
    QuarantinedWidens,
    /// §8: whoever may write erases.
    AnybodyErases,
    /// §8: an erasure does not wait for holds.
    NoHolds,
    /// §8: holds of other agencies bind all.
    HoldsBindAll,
    /// §8: nothing is lifted.
    NoLifts,
    /// §8: an agency's erasure lists others' entries too.
    EraseAll,
    /// §8: nothing is added to an erasure.
    NoEraseAlso,
    /// §9: the depth is not checked.
    AnyEpochDepth,
    /// §9: parents are not looked for.
    AnyParents,
    /// §9: epochs are clean whoever reads them.
    AnyReaders,
    /// §9: a seal makes readers whoever says it wherever.
    AnySeals,
    /// §9: an epoch is clean without a box for its maker.
    SelflessMakers,
    /// §9: retired epochs are written under.
    RetiredEpochs,
}

impl Bug {
    /// All of them.
    pub(crate) const ALL: &[Self] = &[
        Self::QuorumOfOne,
        Self::QuarantinedApprovals,
        Self::GreatestRoot,
        Self::OldRootsOnly,
        Self::ClosedRootsGive,
        Self::GreatestCard,
        Self::AnySponsor,
        Self::AnyIssuer,
        Self::OldRoutesReturn,
        Self::AnybodyReadmits,
        Self::NamesNobody,
        Self::OldRoutesGrant,
        Self::AnybodyNames,
        Self::AnyDepth,
        Self::WiderLimits,
        Self::ForgottenLimits,
        Self::WiderRight,
        Self::AllRoutes,
        Self::OpenAudience,
        Self::AnybodyRevokes,
        Self::RevocationsNeedPlace,
        Self::KeepsUnite,
        Self::NoKeep,
        Self::AnyHead,
        Self::ShortLogsLeadOn,
        Self::RetireClosesNothing,
        Self::ReplaceClosesNothing,
        Self::RootsCloseNothing,
        Self::NothingReopens,
        Self::ReopensAll,
        Self::AnyReopens,
        Self::AnybodyReopens,
        Self::NoAdopts,
        Self::NoRank,
        Self::ForeignAdopts,
        Self::AuthorityAdopts,
        Self::OldRootsAdopt,
        Self::NoStanding,
        Self::NoForks,
        Self::LostForks,
        Self::AuthorityBranches,
        Self::ChoicesUnite,
        Self::ReopenedChoose,
        Self::OverriddenChoose,
        Self::ForkersChoose,
        Self::QuarantinedWidens,
        Self::AnybodyErases,
        Self::NoHolds,
        Self::HoldsBindAll,
        Self::NoLifts,
        Self::EraseAll,
        Self::NoEraseAlso,
        Self::AnyEpochDepth,
        Self::AnyParents,
        Self::AnyReaders,
        Self::AnySeals,
        Self::SelflessMakers,
        Self::RetiredEpochs,
    ];
}
